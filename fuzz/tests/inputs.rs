//! Every target on as many inputs as it says, the same ones on every machine. An input that fails is written down.

use aquatope_fuzz::files;
use aquatope_fuzz::mutate::Inputs;
use aquatope_fuzz::targets::{ALL, Target};
use libtest_mimic::{Arguments, Failed, Trial};
use std::panic::catch_unwind;
use std::path::Path;

fn main() {
    let trials = ALL.iter().map(|target| Trial::test(target.name, || inputs(target))).collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    files::remove_all();
    conclusion.exit();
}

fn inputs(target: &Target) -> Result<(), Failed> {
    let seeds = (target.seeds)();
    let edited = Inputs::new(seeds.clone(), 1).take(target.inputs);
    for bytes in seeds.into_iter().chain(edited) {
        if catch_unwind(|| (target.run)(&bytes)).is_err() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
            std::fs::write(&path, &bytes)?;
            return Err(format!("fails on the input in {}", path.display()).into());
        }
    }
    Ok(())
}
