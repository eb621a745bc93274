//! Trains the light quantile model: one network for all functions, pinball loss, Adam with a one-cycle rate.
//!
//! Rounds: the training part of all series is replayed minute by minute through the core's own feature code, rows are
//! drawn at random minutes, and every network takes one pass over them in its own order. A round depends only on the
//! seed and its number, so a run stopped between rounds resumes bit for bit.

mod network;
mod rows;

use std::ops::ControlFlow;

use aquatope_core::forecast::features::{FEATURES, FULL_HISTORY, FunctionState, Profile, Upstream};
use aquatope_core::forecast::light::{header, network_len};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::adam::one_cycle;
use super::samples::Scaling;
use crate::trace::Trace;
use network::Network;
use rows::Rows;

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
    pub rate: f64,
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

/// Everything a stopped run needs to go on, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Rounds finished.
    round: usize,
    networks: Vec<network::State>,
}

impl Checkpoint {
    /// Whether it is of the networks that `options` train in `rounds` rounds, and before the last of them.
    fn fits(&self, options: &Options, rounds: usize) -> bool {
        let numbers = options.parameters();
        (1..rounds).contains(&self.round)
            && self.networks.len() == options.networks
            && self.networks.iter().all(|n| n.parameters.len() == numbers && n.adam.parameters() == numbers)
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

/// Train on the minutes before `train_end`. `progress` is told every round; `watch` is then shown the run, to save it
/// now and then, and may break off.
///
/// # Errors
/// [`TrainError::Diverged`], and [`TrainError::ForeignCheckpoint`] when `resume` does not belong to this run.
pub fn train(
    series: &[Series<'_>],
    train_end: usize,
    options: &Options,
    resume: Option<Checkpoint>,
    mut watch: impl FnMut(&Checkpoint) -> ControlFlow<()>,
    mut progress: impl FnMut(Progress),
) -> Result<Outcome, TrainError> {
    let profiles: Vec<Profile> =
        series.iter().map(|s| super::profile::fit(&s.peaks[..train_end.min(s.peaks.len())])).collect();
    let minutes = first_minute(train_end)..train_end;
    let rows = options.rows.min(PASSES * minutes.len() * series.len());
    let batches = (rows / options.batch).max(1);
    let per_round = (ROUND / options.batch).max(1);
    let rounds = batches.div_ceil(per_round);
    let batches_of = |round: usize| per_round.min(batches - round * per_round);
    let draw = |rows: &mut Rows, round: usize| {
        let count = batches_of(round) * options.batch;
        rows.draw(series, &profiles, minutes.clone(), count, options.seed, round);
    };

    let mut rows = Rows::default();
    // Whenever the run goes on, the features are standardised as in its first round.
    draw(&mut rows, 0);
    let scaling = Scaling::fit(rows.features.iter().map(<[f32; FEATURES]>::as_slice), FEATURES);
    let mut networks: Vec<Network> = (0..options.networks).map(|k| Network::new(options, k)).collect();
    let mut start = 0;
    if let Some(checkpoint) = resume {
        if !checkpoint.fits(options, rounds) {
            return Err(TrainError::ForeignCheckpoint);
        }
        start = checkpoint.round;
        for (network, state) in networks.iter_mut().zip(checkpoint.networks) {
            network.restore(state);
        }
    }
    for round in start..rounds {
        if round > 0 {
            draw(&mut rows, round);
        }
        scaling.apply(rows.features.as_flattened_mut());
        let mut loss = 0.0;
        for (k, network) in networks.iter_mut().enumerate() {
            let order = rows.order(options.seed ^ (k as u64 + 1) << 32, round);
            for (b, batch) in order.chunks_exact(options.batch).enumerate() {
                let rate = one_cycle(options.rate, round * per_round + b, batches);
                loss += network.step(&rows, batch, rate);
            }
        }
        let loss = loss / (batches_of(round) * options.networks) as f32;
        progress(Progress { round: round + 1, rounds, loss });
        if round + 1 < rounds {
            let networks = networks.iter().map(|network| network.state().clone()).collect();
            let checkpoint = Checkpoint { round: round + 1, networks };
            if watch(&checkpoint).is_break() {
                return Ok(Outcome::Stopped(checkpoint));
            }
        }
    }
    let mut values = Vec::with_capacity(options.networks * network_len(options.hidden));
    for network in &networks {
        values.extend(scaling.offset.iter().chain(&scaling.gain));
        values.extend(&network.state().parameters);
    }
    let head = header(options.hidden, options.networks).to_bytes(&values).map_err(TrainError::Diverged)?;
    let head = head.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let weights = head.chain(values.iter().map(|value| value.to_bits())).collect();
    Ok(Outcome::Finished(Trained { weights, profiles }))
}

/// Training starts when the features have something to look at: after two days, or a quarter of a short history.
fn first_minute(train_end: usize) -> usize {
    (2 * 1440).min(train_end / 4)
}

/// What a function sees of the stages before it.
pub(crate) fn upstream(parents: &[Option<usize>], states: &[State], function: usize) -> Option<Upstream> {
    let parent = (*parents.get(function)?)?;
    let grandparent = *parents.get(parent)?;
    let grandparent = grandparent.and_then(|g| states.get(g)).map(State::history);
    Some(Upstream::of(states.get(parent)?.history(), grandparent))
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

    fn never(_: &Checkpoint) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finished(outcome: Result<Outcome, TrainError>) -> Trained {
        match outcome {
            Ok(Outcome::Finished(trained)) => trained,
            _ => panic!("training did not finish"),
        }
    }

    #[test]
    fn stopping_and_resuming_changes_no_bit() {
        let peaks = timers();
        let mut losses = Vec::new();
        let whole = finished(train(&series(&peaks), 1400, &SMALL, None, never, |p| losses.push(p.loss)));
        assert!(losses[1] < 0.8 * losses[0], "the loss falls: {losses:?}");
        let stopped = train(&series(&peaks), 1400, &SMALL, None, |_| ControlFlow::Break(()), |_| {});
        let Ok(Outcome::Stopped(checkpoint)) = stopped else { panic!("training was not stopped") };
        assert_eq!(checkpoint.round, 1);
        let resumed = train(&series(&peaks), 1400, &SMALL, Some(checkpoint.clone()), never, |_| {});
        assert_eq!(finished(resumed), whole);
        // Not of this run: it was over by then, and had fewer networks.
        for foreign in [
            Checkpoint { round: 2, ..checkpoint.clone() },
            Checkpoint { round: 0, ..checkpoint.clone() },
            Checkpoint { round: 1, networks: Vec::new() },
        ] {
            let refused = train(&series(&peaks), 1400, &SMALL, Some(foreign), never, |_| {});
            assert!(matches!(refused, Err(TrainError::ForeignCheckpoint)));
        }
    }
}
