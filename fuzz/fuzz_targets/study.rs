//! Any operations on a study, with a model that costs nothing.
#![no_main]

use aquatope_core::bo::study::Study;
use aquatope_fuzz::study::{Operation, Setup, drive};
use aquatope_fuzz::uniform::Uniform;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Setup, Vec<Operation>)| {
    let (setup, operations) = input;
    let study: Option<Study<Uniform, 3, 8, 2>> = setup.study(Uniform);
    if let Some(study) = study {
        drive(study, &operations, &mut ());
    }
});
