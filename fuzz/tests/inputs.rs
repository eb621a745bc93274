//! Every target on as many inputs as it says, the same ones on every machine. The running input is kept in a file, so that it is
//! there however the target ends: by a panic, by an abort or by never ending.

use aquatope_fuzz::mutate::Inputs;
use aquatope_fuzz::targets::{ALL, Target, tuning, workflow};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::catch_unwind;
use std::path::Path;

fn main() {
    let mut trials: Vec<Trial> =
        ALL.iter().map(|target| Trial::test(target.name, || inputs(target))).collect();
    trials.push(Trial::test("every_target_has_a_program", programs));
    trials.push(Trial::test("a_fifth_of_workflows_are_graphs", || reach(workflow::is_graph, 5)));
    trials.push(Trial::test("a_tenth_of_studies_are_structured", || reach(tuning::is_structured, 10)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn inputs(target: &Target) -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
    let running = File::create(&path)?;
    let seeds = (target.seeds)();
    let edited = Inputs::new(seeds.clone(), 1).take(target.inputs);
    for bytes in seeds.into_iter().chain(edited) {
        running.set_len(bytes.len() as u64)?;
        running.write_all_at(&bytes, 0)?;
        if catch_unwind(|| (target.run)(&bytes)).is_err() {
            return Err(format!("fails on the input in {}", path.display()).into());
        }
    }
    Ok(fs::remove_file(path)?)
}

/// Of random inputs, one in `every` gets to what the target is for.
fn reach(there: fn(&[u8]) -> bool, every: usize) -> Result<(), Failed> {
    const INPUTS: usize = 300;
    let reached = Inputs::new(Vec::new(), 1).take(INPUTS).filter(|bytes| there(bytes)).count();
    if reached * every < INPUTS { Err(format!("{reached} of {INPUTS}").into()) } else { Ok(()) }
}

/// The targets are the files in `fuzz_targets`, each calls its own, and all are programs of the manifest.
fn programs() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let targets: BTreeSet<String> = ALL.iter().map(|target| target.name.to_owned()).collect();
    let mut files = BTreeSet::new();
    for file in fs::read_dir(root.join("fuzz_targets"))? {
        let path = file?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or("a name")?.to_owned();
        if !fs::read_to_string(&path)?
            .contains(&format!("|bytes: &[u8]| aquatope_fuzz::targets::{name}::run(bytes)"))
        {
            return Err(format!("{} does not call its target", path.display()).into());
        }
        files.insert(name);
    }
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let programs = manifest["bin"].as_array().ok_or("programs")?;
    let programs: BTreeSet<String> = programs
        .iter()
        .filter_map(|program| {
            let name = program["name"].as_str()?;
            (program["path"].as_str()? == format!("fuzz_targets/{name}.rs")).then(|| name.to_owned())
        })
        .collect();
    if (&files, &programs) == (&targets, &targets) {
        return Ok(());
    }
    Err(format!("targets {targets:?}, files {files:?}, programs {programs:?}").into())
}
