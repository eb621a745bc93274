use aquatope_core::anomaly::Verdict;
use aquatope_core::bo::model::Objective;
use aquatope_core::bo::space::{Axis, SearchSpace};
use aquatope_core::bo::study::{AskError, ConfigError, Study, StudyConfig, TellError};
use aquatope_core::bo::trial::{Outcome, TrialId, TrialState};
use aquatope_core::checksum::crc32;
use aquatope_core::error::CapacityError;
use aquatope_core::random::SplitMix64;
use proptest::prelude::*;

use crate::uniform::Uniform;

const CONFIG: StudyConfig =
    StudyConfig { objective: Objective { latency_limit: 2.0, confidence: 0.9 }, initial: 4, seed: 7 };

fn study<const N: usize>() -> Study<Uniform, 3, N, 2> {
    let axis = Axis::new(1.0, 8.0, 1.0).unwrap();
    let space = SearchSpace::new(&[axis, axis.log_scaled().unwrap(), Axis::fixed(3.0).unwrap()]).unwrap();
    Study::new(space, CONFIG, Uniform).unwrap()
}

fn outcome(latency: f64) -> Outcome<2> {
    Outcome::new(1.0, latency).unwrap()
}

#[test]
fn the_design_comes_first_and_then_the_model() {
    let (mut study, mut rng) = (study::<32>(), SplitMix64(1));
    let design = study.ask(10, &mut rng, &mut ()).unwrap();
    assert_eq!(design.len(), 4, "no more than the design has");
    // Nothing told yet: the model cannot be asked, so the design goes on.
    let more = study.ask(2, &mut rng, &mut ()).unwrap();
    assert!(more.iter().all(|&id| study.trial(id).unwrap().expected.is_none()));
    for id in [design[3], more[0]] {
        study.tell(id, outcome(1.0)).unwrap();
    }
    let proposed = study.ask(3, &mut rng, &mut ()).unwrap();
    assert_eq!(proposed.len(), 3);
    assert!(proposed.iter().all(|&id| study.trial(id).unwrap().expected.is_some()));
    assert_eq!(study.trials().iter().filter(|t| t.is_pending()).count(), 7);
}

#[test]
fn a_finished_or_unknown_trial_cannot_be_told() {
    let (mut study, mut rng) = (study::<8>(), SplitMix64(1));
    let ids = study.ask(4, &mut rng, &mut ()).unwrap();
    study.tell(ids[2], outcome(1.0)).unwrap();
    study.fail(ids[0]).unwrap();
    let before = study.clone();
    assert_eq!(study.tell(ids[2], outcome(1.0)), Err(TellError::NotPending(ids[2])));
    assert_eq!(study.tell(ids[0], outcome(1.0)), Err(TellError::NotPending(ids[0])));
    assert_eq!(study.fail(TrialId(99)), Err(TellError::UnknownTrial(TrialId(99))));
    assert_eq!(study, before);
    study.reject(ids[2], outcome(5.0)).unwrap();
    assert!(matches!(study.trial(ids[2]).unwrap().state, TrialState::Rejected(_)));
}

#[test]
fn screening_judges_without_telling() {
    let (mut study, mut rng) = (study::<8>(), SplitMix64(1));
    let id = study.ask(1, &mut rng, &mut ()).unwrap()[0];
    let before = study.clone();
    assert_eq!(study.screen(id, &outcome(3.0), &mut ()), Ok(Verdict::Anomalous { z: 1.0 }));
    assert_eq!(study.screen(id, &outcome(1.0), &mut ()), Ok(Verdict::Consistent { z: -1.0 }));
    assert_eq!(study, before);
}

#[test]
fn a_full_study_says_so_and_forgets_only_what_is_of_no_use() {
    let (mut study, mut rng) = (study::<6>(), SplitMix64(1));
    let mut ids = study.ask(4, &mut rng, &mut ()).unwrap();
    ids.extend(study.ask(4, &mut rng, &mut ()).unwrap());
    assert_eq!(ids.len(), 6, "only as many as fit");
    assert_eq!(study.ask(1, &mut rng, &mut ()), Err(AskError::Full(CapacityError { capacity: 6 })));
    study.fail(ids[1]).unwrap();
    let next = study.ask(3, &mut rng, &mut ()).unwrap();
    assert_eq!(next.as_slice(), [TrialId(6)]);
    assert!(study.trial(ids[1]).is_none());
    for &id in ids.iter().filter(|&&id| id != ids[1]) {
        study.tell(id, outcome(1.0)).unwrap();
    }
    assert_eq!(study.ask(1, &mut rng, &mut ()), Err(AskError::Full(CapacityError { capacity: 6 })));
}

#[test]
fn a_run_of_surprises_starts_a_new_window_and_a_new_design() {
    let (mut study, mut rng) = (study::<64>(), SplitMix64(1));
    for id in study.ask(4, &mut rng, &mut ()).unwrap() {
        study.tell(id, outcome(1.0)).unwrap();
    }
    let mut told = 0;
    while study.window_start() == TrialId(0) {
        for id in study.ask(1, &mut rng, &mut ()).unwrap() {
            // As expected (ln latency 0) ten times, then 50 times slower.
            study.tell(id, outcome(if told < 10 { 1.0 } else { 50.0 })).unwrap();
            told += 1;
        }
        assert!(told < 20);
    }
    assert_eq!(study.window_start(), TrialId(14));
    assert_eq!(study.evidence().trials.len(), told - 10);
    let id = study.ask(1, &mut rng, &mut ()).unwrap()[0];
    assert_eq!(study.trial(id).unwrap().expected, None, "a point of the new design");
}

#[test]
fn a_study_must_make_sense() {
    let space = study::<8>().space().clone();
    let with = |latency_limit, confidence| {
        let config = StudyConfig { objective: Objective { latency_limit, confidence }, ..CONFIG };
        Study::<_, 3, 8, 2>::new(space.clone(), config, Uniform).err()
    };
    assert_eq!(with(0.0, 0.9), Some(ConfigError::LatencyLimit { latency_limit: 0.0 }));
    assert!(matches!(with(f64::NAN, 0.9), Some(ConfigError::LatencyLimit { .. })));
    assert_eq!(with(1.0, 1.0), Some(ConfigError::Confidence { confidence: 1.0 }));
}

/// A snapshot that claims that all numbers but two are used up: the last trial is an error, not an overflow.
#[test]
fn numbers_of_trials_run_out_as_an_error() {
    let mut buffer = [0; 4096];
    let bytes = study::<8>().snapshot(&mut buffer).unwrap();
    // No trials; next, window and designed are 0; 4 design points are left.
    let at = bytes.windows(5).position(|window| window == [0, 0, 0, 0, 4]).unwrap();
    let last = [0xFD, 0xFF, 0xFF, 0xFF, 0x0F];
    let body = [&bytes[14..=at], &last[..], &bytes[at + 2..]].concat();
    let length = (body.len() as u32).to_le_bytes();
    let altered = [&bytes[..6], &length, &crc32(&[&body]).to_le_bytes(), &body].concat();

    let mut study = Study::<Uniform, 3, 8, 2>::restore(&altered).unwrap();
    let ids = study.ask(4, &mut SplitMix64(1), &mut ()).unwrap();
    assert_eq!(ids.as_slice(), [TrialId(u32::MAX - 2), TrialId(u32::MAX - 1)]);
    let full = AskError::Full(CapacityError { capacity: 8 });
    assert_eq!(study.ask(1, &mut SplitMix64(1), &mut ()), Err(full));
    assert_eq!(study.record(study.trials()[0].point.clone(), outcome(1.0)), Err(full));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(usize),
    Tell(u32, f64),
    Fail(u32),
    Reject(u32, f64),
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..20).prop_map(Step::Ask),
        6 => (0u32..40, 0.01f64..100.0).prop_map(|(id, x)| Step::Tell(id, x)),
        1 => (0u32..40).prop_map(Step::Fail),
        1 => (0u32..40, 0.01f64..100.0).prop_map(|(id, x)| Step::Reject(id, x)),
        2 => Just(Step::Restore),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever is done to a study, in any order: nothing panics, ids are never reused, points are on the grid, and
    /// a study restored from its snapshot goes on exactly as the original does.
    #[test]
    fn any_sequence_of_operations_keeps_the_study_whole(steps in steps()) {
        let (mut study, mut restored) = (study::<16>(), study::<16>());
        let (mut rng, mut rng_of_restored) = (SplitMix64(5), SplitMix64(5));
        let mut seen = 0;
        for step in steps {
            match step {
                Step::Ask(count) => {
                    let asked = study.ask(count, &mut rng, &mut ());
                    prop_assert_eq!(&asked, &restored.ask(count, &mut rng_of_restored, &mut ()));
                    for id in asked.into_iter().flatten() {
                        prop_assert_eq!(id.0, seen);
                        seen += 1;
                        prop_assert!(study.space().contains(&study.trial(id).unwrap().point));
                    }
                }
                Step::Tell(id, x) => {
                    let told = study.tell(TrialId(id), outcome(x));
                    prop_assert_eq!(told, restored.tell(TrialId(id), outcome(x)));
                }
                Step::Fail(id) => prop_assert_eq!(study.fail(TrialId(id)), restored.fail(TrialId(id))),
                Step::Reject(id, x) => {
                    let rejected = study.reject(TrialId(id), outcome(x));
                    prop_assert_eq!(rejected, restored.reject(TrialId(id), outcome(x)));
                }
                Step::Restore => {
                    let mut buffer = [0; 4096];
                    restored = Study::restore(study.snapshot(&mut buffer).unwrap()).unwrap();
                }
            }
            prop_assert_eq!(&study, &restored);
        }
    }

    #[test]
    fn foreign_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Study::<Uniform, 3, 16, 2>::restore(&bytes).is_err());
    }
}
