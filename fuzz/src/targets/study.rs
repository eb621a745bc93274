//! Any operations on a study, with a model that costs nothing.

use crate::input::{Operations, read};
use crate::study::{Operation, Setup, drive};
use crate::uniform::Uniform;
use aquatope_core::bo::study::Study;

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some(input) = read::<(Setup, Operations<Operation>)>(bytes) else { return };
    let (setup, Operations(operations)) = input;
    let study: Option<Study<Uniform, 3, 8, 2>> = setup.study(Uniform);
    if let Some(study) = study {
        drive(study, &operations, &mut (), |measured, _| measured.outcome());
    }
}
