//! Bytes as the body of a study's snapshot; whatever is accepted must be a study that works.
#![no_main]

use aquatope_core::bo::snapshot::STUDY;
use aquatope_core::bo::study::Study;
use aquatope_core::checksum::crc32;
use aquatope_fuzz::study::{Operation, drive};
use aquatope_fuzz::uniform::Uniform;
use libfuzzer_sys::fuzz_target;

#[derive(arbitrary::Arbitrary, Debug)]
struct Input<'a> {
    operations: Vec<Operation>,
    body: &'a [u8],
}

fuzz_target!(|input: Input| {
    let _ = Study::<Uniform, 3, 8, 2>::restore(input.body);

    let length = (input.body.len() as u32).to_le_bytes();
    let checksum = crc32(&[input.body]).to_le_bytes();
    let bytes = [&STUDY.magic, &STUDY.version.to_le_bytes()[..], &length, &checksum, input.body].concat();
    if let Ok(study) = Study::<Uniform, 3, 8, 2>::restore(&bytes) {
        drive(study, &input.operations, &mut ());
    }
});
