//! Trains the light quantile model: one network for all functions, pinball loss, Adam with a one-cycle rate.
//!
//! Rounds: the training part of all series is replayed minute by minute through the core's own feature code, rows are
//! drawn at random minutes, and every network takes one pass over them in its own order. A round depends only on the
//! seed and its number, so a run stopped between rounds resumes bit for bit.

use std::ops::{ControlFlow, Range};

use aquatope_core::forecast::LEVELS;
use aquatope_core::forecast::features::{EXPERTS, FEATURES, FULL_HISTORY, FunctionState, Profile, Upstream};
use aquatope_core::forecast::light::{OUTPUTS, header, network_len};
use aquatope_core::nn::weights::WeightsError;
use aquatope_core::random;
use aquatope_core::time::Minute;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::trace::Trace;

/// A function's state as the host keeps it.
pub type State = FunctionState<FULL_HISTORY>;

/// One function's series, as training reads it.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Invocations started, per minute.
    pub counts: &'a [u32],
    /// Peak busy containers, per minute.
    pub peaks: &'a [u32],
    /// Index of the upstream function.
    pub parent: Option<usize>,
}

impl<'a> Series<'a> {
    /// The series of every function of `trace`.
    pub fn of(trace: &'a Trace) -> Vec<Self> {
        let rows = trace.counts.iter().zip(&trace.peaks).zip(&trace.functions);
        rows.map(|((counts, peaks), function)| Self { counts, peaks, parent: function.parent }).collect()
    }
}

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Width of both hidden layers.
    pub hidden: usize,
    /// Networks that are averaged.
    pub networks: usize,
    /// Rows each network is trained on in all, at most; a row may come up more than once.
    pub rows: usize,
    /// Rows of one step.
    pub batch: usize,
    /// Highest learning rate of the cycle.
    pub rate: f32,
    /// Everything random follows from this.
    pub seed: u64,
}

impl Options {
    /// Trained numbers of one network.
    pub fn parameters(&self) -> usize {
        network_len(self.hidden) - 2 * FEATURES
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { hidden: 64, networks: 1, rows: 3 << 20, batch: 512, rate: 4e-3, seed: 1 }
    }
}

/// Passes over the minutes of all functions at most: a short trace would be learnt by heart.
const PASSES: usize = 25;

/// Rows drawn in one round; bounds the memory of training (31 MB of features).
const ROUND: usize = 1 << 17;

/// A trained model, light or hybrid: a weight file in memory, and what is the functions' own.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The weight file, as the little-endian words it consists of (which keeps it aligned).
    pub weights: Vec<u32>,
    /// One profile a function.
    pub profiles: Vec<Profile>,
}

impl Trained {
    /// The bytes of the weight file.
    pub fn weight_file(&self) -> &[u8] {
        bytemuck::cast_slice(&self.weights)
    }
}

/// Everything a stopped run needs to go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Rounds finished.
    pub round: usize,
    /// Parameters and the two Adam moments of every network, each in the order of the model's numbers.
    pub networks: Vec<[Vec<f32>; 3]>,
}

impl Checkpoint {
    /// Whether it is of the networks that `options` train.
    pub fn fits(&self, options: &Options) -> bool {
        let mut lengths = self.networks.iter().flatten().map(Vec::len);
        self.networks.len() == options.networks && lengths.all(|length| length == options.parameters())
    }
}

/// What the caller hears after every round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Rounds finished.
    pub round: usize,
    /// Rounds in all.
    pub rounds: usize,
    /// Mean pinball loss of the round, in units of the functions' scales.
    pub loss: f32,
}

/// A finished run, or where it was stopped.
pub enum Outcome {
    /// The model.
    Finished(Trained),
    /// The caller broke off after a round.
    Stopped(Checkpoint),
}

/// Train on the minutes before `train_end`; `progress` is told every round and may break off.
///
/// # Errors
/// [`WeightsError::NotFinite`] when training diverged.
pub fn train(
    series: &[Series<'_>],
    train_end: usize,
    options: &Options,
    resume: Option<Checkpoint>,
    mut progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Outcome, WeightsError> {
    let profiles: Vec<Profile> =
        series.iter().map(|s| super::profile::fit(&s.peaks[..train_end.min(s.peaks.len())])).collect();
    let minutes = first_minute(train_end)..train_end;
    let rows = options.rows.min(PASSES * minutes.len() * series.len());
    let batches = (rows / options.batch).max(1);
    let per_round = (ROUND / options.batch).max(1);
    let rounds = batches.div_ceil(per_round);

    let mut table = Table::default();
    let mut networks: Vec<Network> = Vec::new();
    let start = resume.as_ref().map_or(0, |c| c.round);
    let mut scaling = None;
    for round in start..rounds {
        let batches_now = per_round.min(batches - round * per_round);
        table.draw(series, &profiles, minutes.clone(), batches_now * options.batch, options.seed, round);
        if scaling.is_none() {
            if start > 0 {
                // The features are standardised as in the first round.
                let mut first = Table::default();
                first.draw(
                    series,
                    &profiles,
                    minutes.clone(),
                    per_round.min(batches) * options.batch,
                    options.seed,
                    0,
                );
                scaling = Some(Scaling::fit(&first.rows));
            } else {
                scaling = Some(Scaling::fit(&table.rows));
            }
            networks = (0..options.networks).map(|k| Network::new(options, k)).collect();
            if let Some(checkpoint) = &resume {
                for (network, state) in networks.iter_mut().zip(&checkpoint.networks) {
                    network.restore(state);
                }
            }
        }
        if let Some(scaling) = &scaling {
            scaling.apply(&mut table.rows);
        }
        let mut loss = 0.0;
        for (k, network) in networks.iter_mut().enumerate() {
            let order = table.order(options.seed ^ (k as u64 + 1) << 32, round);
            for (b, batch) in order.chunks_exact(options.batch).enumerate() {
                let step = round * per_round + b;
                loss += network.step(&table, batch, one_cycle(step, batches, options.rate), step + 1);
            }
        }
        let loss = loss / (batches_now * options.networks) as f32;
        if progress(Progress { round: round + 1, rounds, loss }).is_break() && round + 1 < rounds {
            let networks = networks.iter().map(Network::state).collect();
            return Ok(Outcome::Stopped(Checkpoint { round: round + 1, networks }));
        }
    }
    let scaling = scaling.unwrap_or_else(|| Scaling::fit(&[]));
    let mut values = Vec::with_capacity(options.networks * network_len(options.hidden));
    for network in &networks {
        values.extend_from_slice(&scaling.offset);
        values.extend_from_slice(&scaling.gain);
        values.extend_from_slice(&network.parameters);
    }
    header(options.hidden, options.networks).to_bytes(&values).map(|head| {
        let head = head.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let weights = head.chain(values.iter().map(|value| value.to_bits())).collect();
        Outcome::Finished(Trained { weights, profiles })
    })
}

/// Training starts when the features have something to look at: after two days, or a quarter of a short history.
fn first_minute(train_end: usize) -> usize {
    (2 * 1440).min(train_end / 4)
}

/// Adam's rate: up over the first 30 %, then down to nothing, both along half a cosine (Smith and Topin 2017).
fn one_cycle(step: usize, steps: usize, highest: f32) -> f32 {
    let (start, end) = (highest / 25.0, highest / 25.0 / 1e4);
    let peak = 0.3 * steps as f32 - 1.0;
    let half_cosine = |from: f32, to: f32, share: f32| {
        to + (from - to) / 2.0 * (1.0 + (std::f32::consts::PI * share).cos())
    };
    let step = step as f32;
    if step <= peak {
        half_cosine(start, highest, step / peak.max(1.0))
    } else {
        half_cosine(highest, end, ((step - peak) / (steps as f32 - 1.0 - peak).max(1.0)).min(1.0))
    }
}

/// Rows of features with what happened in the minute.
#[derive(Default)]
struct Table {
    rows: Vec<[f32; FEATURES]>,
    targets: Vec<Target>,
}

/// What happened in a row's minute, and what the network's answer is relative to; all in units of the loss.
#[derive(Clone, Copy, Default)]
struct Target {
    peak: f32,
    unit: f32,
    experts: [f32; EXPERTS],
}

impl Table {
    /// Draw `count` rows, uniformly over functions and `minutes`.
    fn draw(
        &mut self,
        series: &[Series<'_>],
        profiles: &[Profile],
        minutes: Range<usize>,
        count: usize,
        seed: u64,
        round: usize,
    ) {
        self.rows.clear();
        self.targets.clear();
        if series.is_empty() || minutes.is_empty() {
            return;
        }
        let mut rng =
            Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(round as u64));
        let mut wanted: Vec<(u32, u32)> = (0..count)
            .map(|_| {
                let minute = minutes.start as u32 + random::below(&mut rng, minutes.len() as u32);
                (minute, random::below(&mut rng, series.len() as u32))
            })
            .collect();
        wanted.sort_unstable();
        let parents: Vec<Option<usize>> = series.iter().map(|s| s.parent).collect();
        let mut wanted = wanted.into_iter().peekable();
        let mut states: Vec<State> = profiles.iter().map(|&p| State::new(Minute(0), p)).collect();
        for minute in 0..minutes.end {
            while let Some((_, function)) = wanted.next_if(|&(m, _)| m as usize == minute) {
                let function = function as usize;
                let upstream = upstream(&parents, &states, function);
                let reading = states[function].read(upstream.as_ref());
                // Halfway between the function's scale and the moment's: a burst out of proportion must not
                // drown everything else, nor count for nothing.
                let scale = 1.0 / (reading.unit * profiles[function].scale()).sqrt();
                self.rows.push(reading.features);
                self.targets.push(Target {
                    peak: series[function].peaks[minute] as f32 * scale,
                    unit: reading.unit * scale,
                    experts: reading.experts.map(|expert| expert * scale),
                });
            }
            for (state, series) in states.iter_mut().zip(series) {
                state.push(series.counts[minute], series.peaks[minute]);
            }
        }
    }

    /// The rows in a random order.
    fn order(&self, seed: u64, round: usize) -> Vec<u32> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(round as u64));
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, random::below(&mut rng, at as u32 + 1) as usize);
        }
        order
    }
}

/// What a function sees of the stages before it.
pub(crate) fn upstream(parents: &[Option<usize>], states: &[State], function: usize) -> Option<Upstream> {
    let parent = (*parents.get(function)?)?;
    let grandparent = *parents.get(parent)?;
    let grandparent = grandparent.and_then(|g| states.get(g)).map(State::history);
    Some(Upstream::of(states.get(parent)?.history(), grandparent))
}

/// Offset and gain that give every feature mean 0 and deviation 1.
struct Scaling {
    offset: [f32; FEATURES],
    gain: [f32; FEATURES],
}

impl Scaling {
    fn fit(rows: &[[f32; FEATURES]]) -> Self {
        let count = rows.len().max(1) as f64;
        let mut scaling = Self { offset: [0.0; FEATURES], gain: [0.0; FEATURES] };
        for k in 0..FEATURES {
            let mean = rows.iter().map(|r| f64::from(r[k])).sum::<f64>() / count;
            let variance = rows.iter().map(|r| (f64::from(r[k]) - mean).powi(2)).sum::<f64>() / count;
            scaling.offset[k] = mean as f32;
            scaling.gain[k] = (1.0 / (variance.sqrt() + 1e-3)) as f32;
        }
        scaling
    }

    fn apply(&self, rows: &mut [[f32; FEATURES]]) {
        for row in rows {
            for ((x, &offset), &gain) in row.iter_mut().zip(&self.offset).zip(&self.gain) {
                *x = ((*x - offset) * gain).clamp(-8.0, 8.0);
            }
        }
    }
}

/// One network in training: parameters in the model's order (weights `[input][output]`, bias, three layers).
struct Network {
    shape: [usize; 4],
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    first_moment: Vec<f32>,
    second_moment: Vec<f32>,
    input: Vec<f32>,
    target: Vec<Target>,
    hidden: [Vec<f32>; 2],
    hidden_gradient: [Vec<f32>; 2],
    output: Vec<f32>,
}

impl Network {
    /// Uniform weights within 1/sqrt(inputs), as PyTorch draws them.
    fn new(options: &Options, number: usize) -> Self {
        let shape = [FEATURES, options.hidden, options.hidden, OUTPUTS];
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(options.seed ^ (number as u64 + 1) << 48);
        let mut parameters = Vec::new();
        for layer in shape.windows(2) {
            let bound = 1.0 / (layer[0] as f64).sqrt();
            let len = layer[0] * layer[1] + layer[1];
            parameters.extend((0..len).map(|_| ((2.0 * random::uniform(&mut rng) - 1.0) * bound) as f32));
        }
        let len = parameters.len();
        let wide = vec![0.0; options.batch * options.hidden];
        Self {
            shape,
            parameters,
            gradient: vec![0.0; len],
            first_moment: vec![0.0; len],
            second_moment: vec![0.0; len],
            input: vec![0.0; options.batch * FEATURES],
            target: vec![Target::default(); options.batch],
            hidden: [wide.clone(), wide.clone()],
            hidden_gradient: [wide.clone(), wide],
            output: vec![0.0; options.batch * OUTPUTS],
        }
    }

    fn state(&self) -> [Vec<f32>; 3] {
        [self.parameters.clone(), self.first_moment.clone(), self.second_moment.clone()]
    }

    fn restore(&mut self, [parameters, first, second]: &[Vec<f32>; 3]) {
        self.parameters.clone_from(parameters);
        self.first_moment.clone_from(first);
        self.second_moment.clone_from(second);
    }

    /// One Adam step on the rows of `batch`; the mean pinball loss before it.
    fn step(&mut self, table: &Table, batch: &[u32], rate: f32, number: usize) -> f32 {
        for (&row, (input, target)) in
            batch.iter().zip(self.input.chunks_exact_mut(FEATURES).zip(&mut self.target))
        {
            input.copy_from_slice(&table.rows[row as usize]);
            *target = table.targets[row as usize];
        }
        let loss = self.gradients(batch.len());
        self.adam(rate, number);
        loss
    }

    /// Fill `gradient` for the first `rows` of `input`; the mean pinball loss.
    fn gradients(&mut self, rows: usize) -> f32 {
        let [inputs, h1, h2, outputs] = self.shape;
        let (first, rest) = self.parameters.split_at(inputs * h1 + h1);
        let (second, third) = rest.split_at(h1 * h2 + h2);
        let (w1, b1) = first.split_at(inputs * h1);
        let (w2, b2) = second.split_at(h1 * h2);
        let (w3, b3) = third.split_at(h2 * outputs);
        let [a1, a2] = &mut self.hidden;
        forward(&self.input, w1, b1, a1, rows);
        rectify(a1);
        forward(a1, w2, b2, a2, rows);
        rectify(a2);
        forward(a2, w3, b3, &mut self.output, rows);
        let loss = pinball(&mut self.output, &self.target);

        let (g1, rest) = self.gradient.split_at_mut(inputs * h1 + h1);
        let (g2, g3) = rest.split_at_mut(h1 * h2 + h2);
        let [d1, d2] = &mut self.hidden_gradient;
        backward(a2, &self.output, w3, g3, Some(d2), rows);
        mask(d2, a2);
        backward(a1, d2, w2, g2, Some(d1), rows);
        mask(d1, a1);
        backward(&self.input, d1, w1, g1, None, rows);
        loss
    }

    /// Kingma and Ba 2015, with the usual constants.
    fn adam(&mut self, rate: f32, number: usize) {
        const BETA: [f32; 2] = [0.9, 0.999];
        let number = number as i32;
        let rate = rate * (1.0 - BETA[1].powi(number)).sqrt() / (1.0 - BETA[0].powi(number));
        let moments = self.first_moment.iter_mut().zip(&mut self.second_moment);
        for ((p, &g), (m, v)) in self.parameters.iter_mut().zip(&self.gradient).zip(moments) {
            *m += (1.0 - BETA[0]) * (g - *m);
            *v += (1.0 - BETA[1]) * (g * g - *v);
            *p -= rate * *m / (v.sqrt() + 1e-8);
        }
    }
}

/// `outputs` in, their gradients out: mean pinball loss over rows and levels of cumulative softplus quantiles above
/// the experts' weighted mean.
fn pinball(outputs: &mut [f32], targets: &[Target]) -> f32 {
    let share = 1.0 / (targets.len() * LEVELS.len()) as f32;
    let mut loss = 0.0f64;
    for (row, target) in outputs.chunks_exact_mut(OUTPUTS).zip(targets) {
        let (row, weights) = row.split_at_mut(LEVELS.len());
        let largest = weights.iter().fold(f32::NEG_INFINITY, |m, &w| m.max(w));
        weights.iter_mut().for_each(|w| *w = (*w - largest).exp());
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        let base: f32 = weights.iter().zip(&target.experts).map(|(w, e)| w * e).sum();

        let mut slopes = [target.unit; LEVELS.len()];
        let mut quantile = base + row[0] * target.unit;
        let mut gradients = [0.0; LEVELS.len()];
        for k in 0..LEVELS.len() {
            if k > 0 {
                let tail = (-row[k].abs()).exp();
                quantile += (row[k].max(0.0) + tail.ln_1p()) * target.unit;
                slopes[k] *= if row[k] > 0.0 { 1.0 / (1.0 + tail) } else { tail / (1.0 + tail) };
            }
            let error = target.peak - quantile;
            let slope = if error > 0.0 { -LEVELS[k] } else { 1.0 - LEVELS[k] };
            gradients[k] = slope * share;
            loss -= f64::from(slope * error * share);
        }
        let mut later = 0.0;
        for k in (0..LEVELS.len()).rev() {
            later += gradients[k];
            row[k] = later * slopes[k];
        }
        for (weight, expert) in weights.iter_mut().zip(&target.experts) {
            *weight *= later * (expert - base);
        }
    }
    loss as f32
}

fn rectify(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}

/// Gradients pass where the rectifier did.
fn mask(gradient: &mut [f32], value: &[f32]) {
    for (g, &v) in gradient.iter_mut().zip(value) {
        *g = if v > 0.0 { *g } else { 0.0 };
    }
}

/// y = x W + b over `rows` rows.
fn forward(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32], rows: usize) {
    for row in y.chunks_exact_mut(bias.len()) {
        row.copy_from_slice(bias);
    }
    let inputs = weight.len() / bias.len();
    product([rows, inputs, bias.len()], (x, [inputs, 1]), (weight, [bias.len(), 1]), 1.0, y);
}

/// From dy: weight gradient xT dy and bias gradient in `gradient`, input gradient dy WT in `dx`.
fn backward(
    x: &[f32],
    dy: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    dx: Option<&mut [f32]>,
    rows: usize,
) {
    let (dw, db) = gradient.split_at_mut(weight.len());
    let (inputs, outputs) = (weight.len() / db.len(), db.len());
    product([inputs, rows, outputs], (x, [1, inputs]), (dy, [outputs, 1]), 0.0, dw);
    db.fill(0.0);
    for row in dy.chunks_exact(outputs) {
        for (sum, &d) in db.iter_mut().zip(row) {
            *sum += d;
        }
    }
    if let Some(dx) = dx {
        product([rows, outputs, inputs], (dy, [outputs, 1]), (weight, [1, outputs]), 0.0, dx);
    }
}

/// c = a b + keep c for a `[m][k]`, b `[k][n]` with the given strides, c `[m][n]` row-major.
fn product(
    [m, k, n]: [usize; 3],
    (a, [a_row, a_column]): (&[f32], [usize; 2]),
    (b, [b_row, b_column]): (&[f32], [usize; 2]),
    keep: f32,
    c: &mut [f32],
) {
    assert!(m > 0 && k > 0 && n > 0, "empty product");
    assert!((m - 1) * a_row + (k - 1) * a_column < a.len(), "left factor too short");
    assert!((k - 1) * b_row + (n - 1) * b_column < b.len(), "right factor too short");
    assert!(m * n <= c.len(), "product too short");
    // SAFETY: the assertions keep every element the strides reach inside the three slices.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            a_row as isize,
            a_column as isize,
            b.as_ptr(),
            b_row as isize,
            b_column as isize,
            keep,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers() -> Vec<Vec<u32>> {
        [5, 10, 30, 7, 12, 15, 6, 20]
            .map(|period| (0..1500).map(|m| if m % period == 2 { 3 } else { 0 }).collect())
            .into()
    }

    fn series(peaks: &[Vec<u32>]) -> Vec<Series<'_>> {
        peaks.iter().map(|p| Series { counts: p, peaks: p, parent: None }).collect()
    }

    const SMALL: Options =
        Options { hidden: 16, networks: 2, rows: 2 * ROUND, batch: 256, rate: 4e-3, seed: 7 };

    fn finished(outcome: Result<Outcome, WeightsError>) -> Trained {
        match outcome {
            Ok(Outcome::Finished(trained)) => trained,
            _ => panic!("training did not finish"),
        }
    }

    #[test]
    fn stopping_and_resuming_changes_no_bit() {
        let peaks = timers();
        let mut losses = Vec::new();
        let whole = finished(train(&series(&peaks), 1400, &SMALL, None, |p| {
            losses.push(p.loss);
            ControlFlow::Continue(())
        }));
        assert!(losses[1] < 0.8 * losses[0], "the loss falls: {losses:?}");
        let Ok(Outcome::Stopped(checkpoint)) =
            train(&series(&peaks), 1400, &SMALL, None, |_| ControlFlow::Break(()))
        else {
            panic!("training was not stopped");
        };
        assert_eq!(checkpoint.round, 1);
        let resumed = train(&series(&peaks), 1400, &SMALL, Some(checkpoint), |_| ControlFlow::Continue(()));
        assert_eq!(finished(resumed), whole);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let options = Options { hidden: 8, batch: 32, ..SMALL };
        let mut network = Network::new(&options, 0);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        network.input.iter_mut().for_each(|x| *x = random::standard_normal(&mut rng) as f32);
        // Far outside the quantiles, so that no difference straddles a kink of the pinball loss.
        for (row, target) in network.target.iter_mut().enumerate() {
            let peak = if row % 3 == 0 { 20.0 } else { -5.0 };
            *target = Target { peak, unit: 0.8, experts: std::array::from_fn(|k| ((row + k) % 5) as f32) };
        }
        network.gradients(options.batch);
        let analytic = network.gradient.clone();
        let (mut difference, mut size) = (0.0, 0.0);
        for at in (0..network.parameters.len()).step_by(7) {
            let value = network.parameters[at];
            let mut loss_at = |shift: f32| {
                network.parameters[at] = value + shift;
                let loss = network.gradients(options.batch);
                network.parameters[at] = value;
                loss
            };
            let slope = (loss_at(5e-3) - loss_at(-5e-3)) / 1e-2;
            difference += (slope - analytic[at]).powi(2);
            size += analytic[at].powi(2);
        }
        // A difference may straddle the kink of a rectifier in a row or two, hence a bound on the whole.
        let error = (difference / size).sqrt();
        assert!(error < 0.1, "relative error {error}");
    }

    #[test]
    fn the_rate_rises_then_falls() {
        let rates: Vec<f32> = (0..100).map(|step| one_cycle(step, 100, 1.0)).collect();
        assert!((rates[0] - 0.04).abs() < 1e-6 && (rates[29] - 1.0).abs() < 1e-6 && rates[99] < 1e-5);
    }
}
