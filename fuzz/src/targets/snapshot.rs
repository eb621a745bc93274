//! Bytes as the body of a study's snapshot; whatever is accepted must be a study that works.

use crate::input::read;
use crate::study::{Measured, Operation, drive};
use crate::uniform::Uniform;
use aquatope_core::bo::model::Objective;
use aquatope_core::bo::snapshot::STUDY;
use aquatope_core::bo::space::{Axis, SearchSpace};
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::bo::trial::Outcome;
use aquatope_core::checksum::crc32;
use aquatope_core::random::SplitMix64;
use arbitrary::Arbitrary;

/// Bytes in front of the body.
const HEADER: usize = 14;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    operations: Vec<Operation>,
    body: &'a [u8],
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some(input) = read::<Input>(bytes) else { return };
    let _ = Study::<Uniform, 3, 8, 2>::restore(input.body);

    let length = (input.body.len() as u32).to_le_bytes();
    let checksum = crc32(&[input.body]).to_le_bytes();
    let bytes = [&STUDY.magic, &STUDY.version.to_le_bytes()[..], &length, &checksum, input.body].concat();
    if let Ok(study) = Study::<Uniform, 3, 8, 2>::restore(&bytes) {
        let operations = ALWAYS.iter().chain(&input.operations);
        drive(study, operations, &mut (), |measured, _| measured.outcome());
    }
}

/// What every study does that was restored.
const ALWAYS: [Operation; 5] = [
    Operation::Ask(2),
    Operation::Round(Measured::Everyday { cost: 8, latency: 16, durations: Some([4, 12]) }),
    Operation::Verdicts,
    Operation::Recommend,
    Operation::Restore,
];

/// Well-formed inputs: no operations of its own, then the body of a study's snapshot.
pub fn seeds() -> Vec<Vec<u8>> {
    let axis = Axis::new(1.0, 8.0, 1.0).expect("an axis");
    let space = SearchSpace::new(&[axis, axis.log_scaled().expect("above 0")]).expect("a space");
    let objective = Objective { latency_limit: 2.0, confidence: 0.9 };
    let config = StudyConfig { objective, initial: 3, seed: 7 };
    let mut study: Study<Uniform, 3, 8, 2> = Study::new(space, config, Uniform).expect("a study");
    let (mut rng, mut seeds, mut buffer) = (SplitMix64(1), Vec::new(), vec![0; 8_192]);
    for round in 1..4 {
        for id in study.ask(2, &mut rng, &mut ()).expect("room") {
            let outcome = Outcome::new(1.0, f64::from(round)).expect("an outcome");
            study.tell(id, outcome.with_durations(&[0.5, 0.5]).expect("two functions")).expect("pending");
        }
        let bytes = study.snapshot(&mut buffer).expect("room for the snapshot");
        seeds.push([&[0], &bytes[HEADER..]].concat());
    }
    seeds
}
