//! Trains the hybrid Bayesian network in two phases.
//!
//! 1. The encoder learns with a decoder to forecast the next minutes of the window's first column.
//! 2. Encoder and prediction network learn together (not in the release recipe).
//! 3. The prediction network learns on, the encoder frozen: its latent features are formed once, so a round costs a
//!    hundredth.
//!
//! Then the width of the predictive distribution is fitted on the validation part (`calibration.rs`). What validates here
//! is kept from the end of the minutes to train on: what comes after them still judges the model ([`Parts::of`]).
//!
//! Every step splits its batch into two halves, one thread each, and adds their gradients in a fixed order: the result
//! depends on the seed and not on the number of cores. A step's masks and a round's order follow from the seed and
//! their numbers, so a run that was stopped resumes bit for bit.

mod data;
mod options;

pub use data::Data;
pub use options::{AHEAD, Options, PHASES, Phase, WINDOW};

use std::ops::ControlFlow;

use aquatope_core::forecast::LEVELS;
use aquatope_core::forecast::features::Profile;
use aquatope_core::forecast::head;
use aquatope_core::forecast::hybrid::{HybridModel, Recipe, SEQUENCE};
use aquatope_core::forecast::mc_dropout::Calibration;
use aquatope_core::nn::weights::WeightsError;
use aquatope_core::nn::{Dropout, Weights};
use aquatope_core::random;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use data::Part;

use super::TrainError;
use super::adam::{Adam, clip, one_cycle};
use super::calibration;
use super::light::{Series, Trained};
use super::network::{Architecture, BatchMasks, Input, Workspace};
use super::samples::{Anchor, Samples, Scaling};

/// The parts of a trace in minutes: trained on, validated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parts {
    /// First minute after training.
    pub train_end: usize,
    /// First minute after validation.
    pub valid_end: usize,
}

impl Parts {
    /// Of the minutes before `end` the last tenth, at most a day, validates.
    pub fn of(end: usize) -> Self {
        Self { train_end: end - (end / 10).min(1440), valid_end: end }
    }

    /// Whether there are minutes enough to train on.
    ///
    /// # Errors
    /// [`TrainError::TooShort`], of the part that is; of the whole where the parts are those of [`Self::of`].
    pub fn check(self) -> Result<(), TrainError> {
        let Some((minutes, needed)) = self.short() else { return Ok(()) };
        if self != Self::of(self.valid_end) {
            return Err(TrainError::TooShort { minutes, needed });
        }
        let mut more = self.valid_end + 1..;
        let needed = more.find(|&end| Self::of(end).short().is_none()).unwrap_or(usize::MAX);
        Err(TrainError::TooShort { minutes: self.valid_end, needed })
    }

    /// The minutes of the first part that has too few, and how many it needs.
    fn short(self) -> Option<(usize, usize)> {
        let valid = self.valid_end.saturating_sub(self.train_end);
        let parts = [(self.train_end, 2 * (WINDOW + AHEAD)), (valid, AHEAD + 1)];
        parts.into_iter().find(|&(minutes, needed)| minutes < needed)
    }
}

/// What the caller hears after every round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// 1 to 3.
    pub phase: usize,
    /// Rounds finished of this phase.
    pub round: usize,
    /// Rounds of this phase at most.
    pub rounds: usize,
    /// Mean loss of the round's steps, with dropout.
    pub loss: f64,
    /// Loss on the validation part, without dropout.
    pub validation: f64,
}

/// Everything a stopped run needs to go on, bit for bit.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// What it was trained with; a run with other options cannot go on from here.
    pub options: Options,
    /// From 0.
    phase: usize,
    /// Steps taken in this phase.
    step: usize,
    /// Sum of the losses of this round's steps.
    loss: f64,
    parameters: Vec<f32>,
    adam: Adam<f32>,
    /// The parameters with the lowest validation loss of this phase, and that loss.
    best: Vec<f32>,
    best_loss: f64,
    /// Rounds since.
    stale: usize,
}

/// A finished run, or where it was stopped.
#[derive(Debug)]
pub enum Outcome {
    /// The model.
    Finished(Trained),
    /// The caller broke off.
    Stopped(Box<Checkpoint>),
}

/// Train one model for all of `series` on the minutes before `parts.train_end`, stopping early by the loss on the minutes
/// after. `watch` is shown the run before every step, to save it now and then, and may break off.
///
/// # Errors
/// See [`TrainError`].
pub fn train(
    series: &[Series<'_>],
    parts: Parts,
    options: &Options,
    resume: Option<Checkpoint>,
    mut watch: impl FnMut(&Checkpoint) -> ControlFlow<()>,
    progress: impl FnMut(Progress),
) -> Result<Outcome, TrainError> {
    parts.check()?;
    let needed = parts.valid_end;
    let minutes = series.iter().map(|s| s.peaks.len()).min().unwrap_or(0);
    if minutes < needed {
        return Err(TrainError::TooShort { minutes, needed });
    }
    let profiles: Vec<Profile> =
        series.iter().map(|s| super::profile::fit(&s.peaks[..parts.train_end])).collect();
    let mut trainer = Trainer::new(series, &profiles, parts, options);
    let state = match resume {
        Some(state) if state.options == *options && state.parameters.len() == trainer.architecture.len() => {
            state
        }
        Some(_) => return Err(TrainError::ForeignCheckpoint),
        None => trainer.start(),
    };
    let state = match trainer.run(state, &mut watch, progress) {
        Ok(state) => state,
        Err(checkpoint) => return Ok(Outcome::Stopped(checkpoint)),
    };
    let calibrated = trainer.calibrate(&state.parameters, || watch(&state)).map_err(TrainError::Diverged)?;
    let ControlFlow::Continue(calibration) = calibrated else {
        return Ok(Outcome::Stopped(Box::new(state)));
    };
    let scalings = [&trainer.data.sequence_scaling, &trainer.data.external_scaling];
    let weights =
        trainer.weight_file(&state.parameters, calibration, scalings).map_err(TrainError::Diverged)?;
    Ok(Outcome::Finished(Trained { weights, profiles }))
}

/// Samples that are worked on between two questions whether to break off.
const BLOCK: usize = 1 << 12;

struct Trainer<'a> {
    options: &'a Options,
    architecture: Architecture,
    data: Data,
    /// Latent features of the training and the validation samples, `[sample][latents]`, in the last phase.
    latents: [Vec<f32>; 2],
    workers: [Worker; 2],
}

#[derive(Default)]
struct Worker {
    work: Workspace<f32>,
    x: Vec<f32>,
    external: Vec<f32>,
    latents: Vec<f32>,
    gradient: Vec<f32>,
}

impl<'a> Trainer<'a> {
    fn new(series: &[Series<'_>], profiles: &[Profile], parts: Parts, options: &'a Options) -> Self {
        Self {
            options,
            architecture: options.architecture(),
            data: Data::new(series, profiles, parts, options),
            latents: Default::default(),
            workers: Default::default(),
        }
    }

    fn initial(&self) -> Vec<f32> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.options.seed);
        let mut parameters = Vec::with_capacity(self.architecture.len());
        for layer in self.architecture.layers() {
            let from = parameters.len();
            let (inputs, hidden) = (layer.inputs, layer.lstm_hidden);
            let bound = 1.0 / (hidden.unwrap_or(inputs) as f64).sqrt();
            parameters
                .extend((0..layer.len).map(|_| ((2.0 * random::uniform(&mut rng) - 1.0) * bound) as f32));
            if let Some(hidden) = hidden {
                // Remember by default (Jozefowicz et al. 2015).
                let bias = from + layer.len - 4 * hidden;
                parameters[bias..].fill(0.0);
                parameters[bias + hidden..bias + 2 * hidden].fill(1.0);
            }
        }
        parameters
    }

    fn start(&self) -> Checkpoint {
        let parameters = self.initial();
        Checkpoint {
            options: *self.options,
            phase: 0,
            step: 0,
            loss: 0.0,
            adam: Adam::new(parameters.len()),
            best: parameters.clone(),
            best_loss: f64::MAX,
            stale: 0,
            parameters,
        }
    }

    /// All phases from `state`: their end, with the best parameters, or where `watch` broke off.
    fn run(
        &mut self,
        mut state: Checkpoint,
        watch: &mut impl FnMut(&Checkpoint) -> ControlFlow<()>,
        mut progress: impl FnMut(Progress),
    ) -> Result<Checkpoint, Box<Checkpoint>> {
        while state.phase < PHASES {
            let Phase { rounds, samples, batch, .. } = self.options.phases[state.phase];
            let batch = batch.clamp(1, self.data.train.len());
            let per_round = (samples.min(self.data.train.len()) / batch).max(1);
            let total = per_round * rounds;
            if state.phase == PHASES - 1
                && self.options.recipe == Recipe::Repaired
                && self.freeze(&state.parameters, || watch(&state)).is_break()
            {
                return Err(Box::new(state));
            }
            while state.step < total && state.stale < self.options.patience {
                let round = state.step / per_round;
                let order = self.order(state.phase, round);
                for rows in order.chunks_exact(batch).take(per_round).skip(state.step % per_round) {
                    if watch(&state).is_break() {
                        return Err(Box::new(state));
                    }
                    let Checkpoint { phase, step, parameters, adam, .. } = &mut state;
                    state.loss += self.step(*phase, *step, parameters, adam, rows, total);
                    state.step += 1;
                }
                let validation = self.validate(state.phase, &state.parameters);
                progress(Progress {
                    phase: state.phase + 1,
                    round: round + 1,
                    rounds,
                    loss: state.loss / per_round as f64,
                    validation,
                });
                state.loss = 0.0;
                if validation < state.best_loss {
                    (state.best_loss, state.stale) = (validation, 0);
                    state.best.clone_from(&state.parameters);
                } else {
                    state.stale += 1;
                }
            }
            // Without any finite validation loss the parameters stay as they are: not finite, which is an error later.
            if state.best_loss < f64::INFINITY {
                state.parameters.clone_from(&state.best);
            }
            state.adam = Adam::new(state.parameters.len());
            (state.phase, state.step, state.best_loss, state.stale) = (state.phase + 1, 0, f64::MAX, 0);
        }
        Ok(state)
    }

    /// The weight file of `parameters` for input to be standardised by `scalings` (see [`HybridShape::header`]).
    fn weight_file(
        &self,
        parameters: &[f32],
        calibration: Calibration,
        scalings: [&Scaling; 2],
    ) -> Result<Vec<u32>, WeightsError> {
        let rates = self.options.dropout();
        let mut values: Vec<f32> = [rates.between, rates.latent, rates.before, rates.first, rates.second]
            .iter()
            .map(|dropout| dropout.rate() as f32)
            .collect();
        values.extend([calibration.noise, calibration.doubt]);
        for scaling in scalings {
            values.extend(scaling.offset.iter().chain(&scaling.gain));
        }
        values.extend(&parameters[..self.architecture.model_len()]);
        let head = self.options.shape().header().to_bytes(&values)?;
        let head = head.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        Ok(head.chain(values.iter().map(|value| value.to_bits())).collect())
    }

    /// The width of the predictive distribution that suits the validation part best; asks `stop` now and then whether to
    /// break off.
    fn calibrate(
        &mut self,
        parameters: &[f32],
        mut stop: impl FnMut() -> ControlFlow<()>,
    ) -> Result<ControlFlow<(), Calibration>, WeightsError> {
        if self.options.recipe == Recipe::Release {
            return Ok(ControlFlow::Continue(Calibration::NONE));
        }
        // The samples are standardised already.
        let as_is = [SEQUENCE, self.architecture.externals].map(Scaling::none);
        let file = self.weight_file(parameters, Calibration::NONE, as_is.each_ref())?;
        let weights = Weights::parse(bytemuck::cast_slice(&file))?;
        let model = HybridModel::new(&weights)?;
        let rows: Vec<u32> = (0..self.data.valid.len() as u32).collect();
        let mut workers = std::mem::take(&mut self.workers);
        let mut passes = Vec::with_capacity(rows.len());
        // Its passes make a sample as dear as dozens of others.
        for block in rows.chunks(BLOCK / 32) {
            if stop().is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let formed = self.halves(&mut workers, block, |this, _, _, rows| {
                calibration::passes(&model, &this.data, rows, this.options.seed)
            });
            passes.extend(formed.into_iter().flatten());
        }
        self.workers = workers;
        Ok(ControlFlow::Continue(calibration::fit(&passes, &self.data.valid)))
    }

    fn order(&self, phase: usize, round: usize) -> Vec<u32> {
        let seed = self.options.seed.wrapping_mul(1_000_003) ^ (phase as u64 + 1) << 40 ^ round as u64;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut order: Vec<u32> = (0..self.data.train.len() as u32).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, random::below(&mut rng, at as u32 + 1) as usize);
        }
        order
    }

    fn step(
        &mut self,
        phase: usize,
        step: usize,
        parameters: &mut [f32],
        adam: &mut Adam<f32>,
        batch: &[u32],
        total: usize,
    ) -> f64 {
        let mut workers = std::mem::take(&mut self.workers);
        let losses = self.halves(&mut workers, batch, |this, worker, half, part| {
            // A batch of one row has no second half.
            if part.is_empty() {
                worker.gradient.clear();
                return 0.0;
            }
            let masks = this.masks(part.len(), &mut this.rng(phase as u64, (step as u64) << 1 ^ half as u64));
            this.pass(phase, parameters, Part::Train, part, &masks, worker, 1.0 / batch.len() as f32, true)
        });
        let [one, two] = &mut workers;
        for (g, &other) in one.gradient.iter_mut().zip(&two.gradient) {
            *g += other;
        }
        clip(&mut one.gradient, 5.0);
        let peak = self.options.phases[phase].rate;
        let rate = match self.options.recipe {
            Recipe::Repaired => one_cycle(peak, step, total),
            Recipe::Release => peak,
        };
        adam.step(rate, parameters, &one.gradient);
        self.workers = workers;
        losses.iter().sum::<f64>() / batch.len() as f64
    }

    fn validate(&mut self, phase: usize, parameters: &[f32]) -> f64 {
        let all: Vec<u32> = (0..self.data.valid.len() as u32).collect();
        let mut workers = std::mem::take(&mut self.workers);
        let losses = self.halves(&mut workers, &all, |this, worker, _, part| {
            let none = BatchMasks::default();
            part.chunks(256)
                .map(|rows| this.pass(phase, parameters, Part::Validation, rows, &none, worker, 1.0, false))
                .sum::<f64>()
        });
        self.workers = workers;
        losses.iter().sum::<f64>() / all.len().max(1) as f64
    }

    /// Run both halves of `rows`, one of them on another thread; what they return.
    fn halves<T: Send>(
        &self,
        workers: &mut [Worker; 2],
        rows: &[u32],
        run: impl Fn(&Self, &mut Worker, usize, &[u32]) -> T + Sync,
    ) -> [T; 2] {
        let [one, two] = workers;
        let (first, second) = rows.split_at(rows.len().div_ceil(2));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| run(self, two, 1, second));
            let here = run(self, one, 0, first);
            [here, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
        })
    }

    /// The generator of the masks of one `place` in a phase.
    fn rng(&self, phase: u64, place: u64) -> Xoshiro256PlusPlus {
        let seed = self.options.seed ^ (phase + 1) << 56 ^ place;
        Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn masks(&self, rows: usize, rng: &mut Xoshiro256PlusPlus) -> BatchMasks {
        let release = self.options.recipe == Recipe::Release;
        let rates = self.options.dropout();
        let mut draw =
            |dropout: Dropout, width: usize| (0..rows).map(|_| dropout.draw(width, rng)).collect::<Vec<_>>();
        let a = &self.architecture;
        BatchMasks {
            between: draw(rates.between, a.encoder[0]),
            latent: draw(rates.latent, a.encoder[1]),
            decoder: draw(rates.between, a.decoder),
            decoded: if release { draw(rates.latent, 1) } else { Vec::new() },
            before: if release { draw(rates.before, a.predictor[0]) } else { Vec::new() },
            first: draw(rates.first, a.predictor[0]),
            second: draw(rates.second, a.predictor[1]),
        }
    }

    /// Form the latent features of all samples, those of the training samples with one draw of masks each; asks `stop`
    /// now and then whether to break off.
    fn freeze(&mut self, parameters: &[f32], mut stop: impl FnMut() -> ControlFlow<()>) -> ControlFlow<()> {
        let mut workers = std::mem::take(&mut self.workers);
        let mut latents = [Vec::new(), Vec::new()];
        for part in [Part::Train, Part::Validation] {
            let rows: Vec<u32> = (0..self.data.samples(part).len() as u32).collect();
            for block in rows.chunks(BLOCK) {
                stop()?;
                let formed = self.halves(&mut workers, block, |this, worker, _, rows| {
                    let mut latents = Vec::new();
                    for rows in rows.chunks(256) {
                        let masks = match part {
                            Part::Train => {
                                this.masks(rows.len(), &mut this.rng(PHASES as u64, u64::from(rows[0])))
                            }
                            Part::Validation => BatchMasks::default(),
                        };
                        this.windows(this.data.samples(part), rows, &mut worker.x);
                        let Worker { work, x, .. } = worker;
                        this.architecture.latent_features(parameters, x, &masks, work, &mut latents);
                    }
                    latents
                });
                latents[part as usize].extend(formed.into_iter().flatten());
            }
        }
        (self.latents, self.workers) = (latents, workers);
        ControlFlow::Continue(())
    }

    /// Windows of `rows`, time-major, to `x`.
    fn windows(&self, samples: &Samples, rows: &[u32], x: &mut Vec<f32>) {
        x.resize(WINDOW * rows.len() * SEQUENCE, 0.0);
        for (k, &row) in rows.iter().enumerate() {
            let (function, minute) = samples.place(row);
            for (step, values) in self.data.sequences.before(function, minute, WINDOW).iter().enumerate() {
                x[(step * rows.len() + k) * SEQUENCE..][..SEQUENCE].copy_from_slice(values);
            }
        }
    }

    fn pass(
        &self,
        phase: usize,
        parameters: &[f32],
        part: Part,
        rows: &[u32],
        masks: &BatchMasks,
        worker: &mut Worker,
        weight: f32,
        train: bool,
    ) -> f64 {
        let (a, samples) = (&self.architecture, self.data.samples(part));
        let latents = &self.latents[part as usize];
        let frozen = phase == PHASES - 1;
        if !frozen || latents.is_empty() {
            self.windows(samples, rows, &mut worker.x);
        }
        let gradient = train.then(|| {
            worker.gradient.clear();
            worker.gradient.resize(parameters.len(), 0.0);
            worker.gradient.as_mut_slice()
        });
        if phase == 0 {
            let loss = |k: usize, outputs: &[f32], d: &mut [f32]| {
                let (function, minute) = samples.place(rows[k]);
                let reference = self.reference(function, minute);
                let ahead = self.data.sequences.before(function, minute + AHEAD, AHEAD);
                let share = weight / AHEAD as f32;
                let mut loss = 0.0;
                for ((d, &y), step) in d.iter_mut().zip(outputs).zip(ahead) {
                    let error = y - (step[0] - reference);
                    *d = 2.0 * error * share;
                    loss += f64::from(error * error) / AHEAD as f64;
                }
                loss
            };
            return a.decode(parameters, &worker.x, masks, &mut worker.work, loss, gradient);
        }
        worker.external.clear();
        worker.latents.clear();
        for &row in rows {
            let row = row as usize;
            worker.external.extend_from_slice(&samples.externals[row * a.externals..][..a.externals]);
            if frozen && !latents.is_empty() {
                worker.latents.extend_from_slice(&latents[row * a.latents()..][..a.latents()]);
            }
        }
        let loss = |k: usize, outputs: &[f32], d: &mut [f32]| {
            let row = rows[k] as usize;
            let peak = samples.peaks[row];
            match self.options.recipe {
                Recipe::Release => {
                    let (function, minute) = samples.place(rows[k]);
                    let here =
                        (peak - self.data.sequence_scaling.offset[0]) * self.data.sequence_scaling.gain[0];
                    let error = outputs[0] - (here - self.reference(function, minute));
                    d[0] = 2.0 * error * weight;
                    f64::from(error * error)
                }
                Recipe::Repaired => pinball(outputs, &samples.anchors[row], peak, weight, d),
            }
        };
        let input = match worker.latents.is_empty() {
            true => Input::Window { x: &worker.x, train: !frozen },
            false => Input::Latents(&worker.latents),
        };
        a.predict(parameters, input, &worker.external, masks, &mut worker.work, loss, gradient)
    }

    /// The first column's value that targets are relative to: the last one, or the oldest in the release recipe.
    fn reference(&self, function: usize, minute: usize) -> f32 {
        let window = self.data.sequences.before(function, minute, WINDOW);
        match self.options.recipe {
            Recipe::Repaired => window[WINDOW - 1][0],
            Recipe::Release => window[0][0],
        }
    }
}

/// Mean pinball loss of the quantiles that `outputs` stand for, its gradient times `weight` in `d`.
fn pinball(outputs: &[f32], anchor: &Anchor, peak: f32, weight: f32, d: &mut [f32]) -> f64 {
    let Ok(outputs) = <&[f32; head::OUTPUTS]>::try_from(outputs) else { return 0.0 };
    let quantiles = head::quantiles(outputs, &anchor.experts, anchor.unit);
    let share = anchor.weight / LEVELS.len() as f32;
    let mut gradient = [0.0; LEVELS.len()];
    let mut loss = 0.0;
    for ((g, &q), level) in gradient.iter_mut().zip(&quantiles).zip(LEVELS) {
        let error = peak - q;
        let slope = if error > 0.0 { -level } else { 1.0 - level };
        *g = slope * share * weight;
        loss -= f64::from(slope * error * share);
    }
    d.copy_from_slice(&head::quantiles_gradient(outputs, &anchor.experts, anchor.unit, &gradient));
    loss
}

#[cfg(test)]
#[path = "hybrid_tests.rs"]
mod tests;
