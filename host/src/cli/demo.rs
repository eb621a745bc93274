//! `aquatope demo`: the comparison on a generated load, with good defaults, and the service at work on part of it.

use std::path::PathBuf;

use clap::Args;

use super::replay::{self, Output};
use super::{print, whole};
use crate::error::Result;
use crate::generate;
use crate::live;
use crate::progress::Progress;
use crate::replay::policies::PolicyName;
use crate::trace::Split;

/// Show what forecasting buys: replay a generated 14-day load of 30 functions and write a report; then run part of it on
/// a simulated OpenWhisk, with the service beside it and without.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct Arguments {
    /// Folder of the HTML report
    #[arg(long, value_name = "DIR", default_value = "aquatope-demo")]
    report: PathBuf,
    /// Seed of the load and of everything random
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = whole::<u64>)]
    seed: u64,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Days of load: ten train, one validates, three are the test.
const DAYS: usize = 14;
const DAY: usize = 1440;
/// Where the service begins: a working day of the test, at ten.
const BUSY: usize = 13 * DAY + 10 * 60;

/// Run the command.
///
/// # Errors
/// A report folder that cannot be written; the service's part, when the comparison is out already.
pub(super) fn run(arguments: Arguments) -> Result<()> {
    let output = Output { report: Some(arguments.report), json: arguments.json };
    output.prepare()?;
    let progress = Progress::visible();
    let bar = progress.bar(1, format!("generating {DAYS} days of load"), "trace");
    let trace = generate::trace(arguments.seed, DAYS);
    drop(bar);
    let split = Split { train_end: 10 * DAY, valid_end: 11 * DAY, end: DAYS * DAY };
    let options = replay::options(PolicyName::ALL.into(), replay::DEFAULT_COLD_COST, arguments.seed);
    let comparison = crate::replay::run(&trace, split, &options, &progress)?;
    output.write(&comparison, &trace, print, || {
        let model = comparison.light.as_ref()?;
        Some(live::run(&trace, BUSY, model, &progress))
    })
}
