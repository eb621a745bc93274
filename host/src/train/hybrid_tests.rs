//! Training on small made-up series: it learns, it repeats, it resumes.

use std::cell::Cell;

use aquatope_core::forecast::hybrid::HybridModel;
use aquatope_core::nn::Weights;

use super::*;

/// A timer of period 6 and a quiet function.
fn peaks() -> Vec<Vec<u32>> {
    let timer = (0..500u32).map(|m| if m % 6 == 2 { 4 } else { 0 }).collect();
    vec![timer, (0..500u32).map(|m| u32::from(m % 97 == 0)).collect()]
}

fn series(peaks: &[Vec<u32>]) -> Vec<Series<'_>> {
    peaks.iter().map(|p| Series { counts: p, peaks: p, parent: None }).collect()
}

const PARTS: Parts = Parts { train_end: 400, valid_end: 500 };
const SHORT: Options = Options {
    samples: 256,
    validation: 64,
    phases: [phase(1, 2e-3), phase(1, 3e-3), phase(1, 4e-3)],
    ..Options::REPAIRED
};

const fn phase(rounds: usize, rate: f64) -> Phase {
    Phase { rounds, samples: 256, batch: 64, rate }
}

fn never(_: &Checkpoint) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn finished(outcome: Outcome) -> Trained {
    match outcome {
        Outcome::Finished(trained) => trained,
        Outcome::Stopped(_) => panic!("nobody stopped it"),
    }
}

#[test]
fn both_recipes_train_and_make_readable_files() {
    let peaks = peaks();
    let release = Options { phases: [phase(2, 1e-4), phase(0, 0.0), phase(2, 1e-3)], ..Options::RELEASE };
    for options in [SHORT, Options { samples: 256, validation: 64, ..release }] {
        let mut losses = Vec::new();
        let outcome =
            train(&series(&peaks), PARTS, &options, None, never, |p| losses.push((p.phase, p.loss)));
        let trained = finished(outcome.unwrap());
        let weights = Weights::parse(trained.weight_file()).unwrap();
        let model = HybridModel::new(&weights).unwrap();
        assert_eq!(*model.shape(), options.shape());
        let as_trained = model.calibration() == Calibration::NONE;
        // So few steps leave a distribution whose width is wrong.
        assert_eq!(as_trained, options.recipe == Recipe::Release, "{:?}", model.calibration());
        assert_eq!(losses.len(), options.phases.iter().map(|phase| phase.rounds).sum::<usize>());
        assert!(losses.iter().all(|(_, loss)| loss.is_finite()));
    }
}

#[test]
fn a_timer_is_learnt() {
    let peaks = peaks();
    // By both networks together, and by the prediction network alone.
    for learning in [1, 2] {
        let mut options = Options { samples: 1 << 9, ..SHORT };
        options.phases = std::array::from_fn(|k| Phase {
            batch: 16,
            samples: 1 << 9,
            ..phase(8 * usize::from(k == learning), 3e-3)
        });
        let mut validation = Vec::new();
        train(&series(&peaks), PARTS, &options, None, never, |p| validation.push(p.validation)).unwrap();
        let (first, last) = (validation[0], validation.iter().copied().fold(f64::INFINITY, f64::min));
        assert!(last < 0.5 * first, "{validation:?}");
    }
}

#[test]
fn stopping_and_resuming_changes_no_bit() {
    let peaks = peaks();
    let whole = finished(train(&series(&peaks), PARTS, &SHORT, None, never, |_| {}).unwrap());
    // The flag is set from the progress of a phase, so the run ends before the first step of the next one.
    for phase in [1, 2] {
        let stop = Cell::new(false);
        let watch =
            |_: &Checkpoint| if stop.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let outcome = train(&series(&peaks), PARTS, &SHORT, None, watch, |progress| {
            stop.set(progress.phase == phase);
        });
        let Outcome::Stopped(checkpoint) = outcome.unwrap() else { panic!("it was stopped") };
        let resumed =
            train(&series(&peaks), PARTS, &SHORT, Some(*checkpoint.clone()), never, |_| {}).unwrap();
        assert_eq!(finished(resumed), whole);
        let other = Options { seed: 2, ..SHORT };
        let refused = train(&series(&peaks), PARTS, &other, Some(*checkpoint), never, |_| {}).unwrap_err();
        assert_eq!(refused, TrainError::ForeignCheckpoint);
    }
}

#[test]
fn too_short_a_history_is_refused() {
    let peaks = peaks();
    for (train_end, valid_end, minutes, needed) in [(60, 500, 60, 120), (400, 401, 1, 13)] {
        let refused = train(&series(&peaks), Parts { train_end, valid_end }, &SHORT, None, never, |_| {});
        assert_eq!(refused.err(), Some(TrainError::TooShort { minutes, needed }));
    }
    // With as many minutes as the refusal names there is a model, and with one less there is none.
    for minutes in [0, 100, 132] {
        assert_eq!(Parts::of(minutes).check(), Err(TrainError::TooShort { minutes, needed: 133 }));
    }
    let enough = Parts::of(133);
    assert!(matches!(train(&series(&peaks), enough, &SHORT, None, never, |_| {}), Ok(Outcome::Finished(_))));
}

#[test]
fn a_stop_is_heard_while_latent_features_are_formed() {
    let peaks = peaks();
    let options = Options { phases: [phase(0, 2e-3), phase(0, 3e-3), phase(1, 4e-3)], ..SHORT };
    let mut asked = 0;
    // Asked before the training samples, then before the validation samples: not a step is taken by then.
    let watch = |_: &Checkpoint| {
        asked += 1;
        if asked == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let outcome = train(&series(&peaks), PARTS, &options, None, watch, |_| {}).unwrap();
    let Outcome::Stopped(checkpoint) = outcome else { panic!("it was stopped") };
    assert_eq!((checkpoint.phase, checkpoint.step), (2, 0));
}

#[test]
fn a_stop_is_heard_while_the_width_is_fitted() {
    let peaks = peaks();
    let options = Options { phases: [phase(0, 2e-3), phase(0, 3e-3), phase(1, 4e-3)], ..SHORT };
    let whole = finished(train(&series(&peaks), PARTS, &options, None, never, |_| {}).unwrap());
    let trained = |state: &Checkpoint| state.phase == PHASES;
    let watch = |state: &_| if trained(state) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let outcome = train(&series(&peaks), PARTS, &options, None, watch, |_| {}).unwrap();
    let Outcome::Stopped(checkpoint) = outcome else { panic!("it was stopped") };
    assert!(trained(&checkpoint));
    let mut steps = 0;
    let resumed = train(&series(&peaks), PARTS, &options, Some(*checkpoint), never, |_| steps += 1).unwrap();
    assert_eq!((finished(resumed), steps), (whole, 0));
}
