//! `aquatope replay`: compare policies on a recorded load.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{number, print, whole};
use crate::error::{Error, Result};
use crate::files;
use crate::live::Live;
use crate::progress::Progress;
use crate::replay::policies::PolicyName;
use crate::replay::report::{COLUMNS, cells};
use crate::replay::{self, Comparison, Options};
use crate::report::grouped;
use crate::table::aligned;
use crate::trace::{self, ReadOptions, Split, Trace, Unit};

/// Replay a trace: train on its first part, then forecast, plan and simulate the rest minute by minute.
#[derive(Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct Arguments {
    /// A trace: a folder or file in the Azure Functions 2019 schema, or in the long form `minute,func,cnt,act`
    #[arg(long, value_name = "DIR_OR_FILE")]
    trace: PathBuf,
    /// Duration percentiles (Azure schema), if they are not beside the trace
    #[arg(long, value_name = "FILE")]
    durations: Option<PathBuf>,
    /// Memory of applications (Azure schema), if it is not beside the trace
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    /// What the counts of an Azure trace are; a long trace states both
    #[arg(long, value_enum, default_value_t)]
    unit: Unit,
    /// Policies to compare [default: all that the trace is long enough for]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,...")]
    policy: Vec<PolicyName>,
    /// Days to train on; one more validates and the rest is the test
    #[arg(long, value_name = "N", conflicts_with = "split", value_parser = whole::<usize>)]
    train_days: Option<usize>,
    /// Minutes at which training and validation end, counted from 0: `900,1020` trains on minutes 0 to 899, validates on
    /// 900 to 1019 and tests on all from 1020 on
    #[arg(long, value_name = "TRAIN,VALID", value_parser = two_minutes)]
    split: Option<(usize, usize)>,
    /// Price of a cold start, in GB-minutes of idle memory
    #[arg(long, value_name = "R", default_value_t = DEFAULT_COLD_COST, value_parser = number)]
    cold_cost: f64,
    /// Seed of everything random
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = whole::<u64>)]
    seed: u64,
    /// Folder of models written by `aquatope train`; without it models are trained first, the hybrid one briefly
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Write an HTML report into this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// The price of a cold start in GB-minutes of idle memory when the user states none: for a container of 256 MB the
/// 0.9 quantile of the forecast.
pub(super) const DEFAULT_COLD_COST: f64 = 2.25;

/// The dearest cold start: a week of a warm container, well beyond the highest quantile that is forecast.
const MOST_COLD_COST: f64 = 10_080.0;

/// Run the command.
///
/// # Errors
/// Whatever is wrong with the trace, the split or the report folder.
pub(super) fn run(arguments: Arguments) -> Result<()> {
    if !(arguments.cold_cost > 0.0 && arguments.cold_cost <= MOST_COLD_COST) {
        let what = format!("is {}", arguments.cold_cost);
        let mend = format!(
            "give a price in GB-minutes of idle memory, above 0 and at most {MOST_COLD_COST} ({DEFAULT_COLD_COST} if you \
             say nothing)"
        );
        return Err(Error::input("--cold-cost", what, mend));
    }
    let twice =
        (1..arguments.policy.len()).find(|&at| arguments.policy[..at].contains(&arguments.policy[at]));
    if let Some(at) = twice {
        let what = format!("names {} twice", arguments.policy[at].label());
        return Err(Error::input("--policy", what, "name every policy once"));
    }
    let output = Output { report: arguments.report, json: arguments.json };
    output.prepare()?;
    let read = ReadOptions {
        durations: arguments.durations,
        memory: arguments.memory,
        unit: arguments.unit,
        seed: arguments.seed,
    };
    let (trace, stated) = trace::read(&arguments.trace, &read)?;
    let split = match (arguments.train_days, arguments.split, stated) {
        (Some(days), ..) => by_days(days, &trace)?,
        (None, Some((train_end, valid_end)), _) => {
            Split::new(train_end, valid_end, trace.minutes).map_err(|what| {
                Error::input("--split", what, format!("the trace has {} minutes", trace.minutes))
            })?
        }
        (None, None, Some(stated)) => stated,
        (None, None, None) => by_length(&trace)?,
    };
    let options = Options {
        models: arguments.models,
        ..options(arguments.policy, arguments.cold_cost, arguments.seed)
    };
    let comparison = replay::run(&trace, split, &options, &Progress::visible())?;
    output.write(&comparison, &trace, print, || None)
}

/// The options of a comparison with ten functions shown in detail.
pub(super) fn options(policies: Vec<PolicyName>, cold_cost: f64, seed: u64) -> Options {
    Options { policies, cold_cost, seed, models: None, featured: 10 }
}

/// Where a comparison goes.
pub(super) struct Output {
    /// Folder of the report.
    pub(super) report: Option<PathBuf>,
    /// JSON instead of a table.
    pub(super) json: bool,
}

impl Output {
    /// Find out whether the report can be written before the work is done.
    pub(super) fn prepare(&self) -> Result<()> {
        self.report.as_deref().map_or(Ok(()), files::prepare_folder)
    }

    /// Write the report and `print` the comparison; then let the service run, if it is to, and print what it did. JSON is
    /// one text, printed at the end, whether the service failed or not. All is printed where the report cannot be written.
    pub(super) fn write(
        &self,
        comparison: &Comparison,
        trace: &Trace,
        mut print: impl FnMut(&str) -> Result<()>,
        live: impl FnOnce() -> Option<Result<Live>>,
    ) -> Result<()> {
        let failed =
            |error| Error::Failed(format!("the comparison is complete, but not the service's part: {error}"));
        let report = self.report.as_ref().map(|folder| folder.join("report.html"));
        let write = |live: Option<&Live>| {
            report
                .as_ref()
                .map_or(Ok(()), |path| files::write(path, comparison.report(trace, live).as_bytes()))
        };
        // Now, as the service may fail, and once more with what it did.
        let mut written = write(None);
        if !self.json {
            let rows: Vec<_> = comparison.policies.iter().map(cells).collect();
            let place = report.as_ref().filter(|_| written.is_ok());
            let place = place.map_or_else(String::new, |path| format!("Report: {}\n", path.display()));
            print(&format!(
                "{}\n{} functions, {} invocations in the test; memory in units of a clairvoyant pool's.\n{place}{}\n",
                aligned(&COLUMNS, &rows),
                comparison.trace.functions,
                grouped(comparison.trace.invocations),
                comparison.finding()
            ))?;
        }
        let live = live().transpose();
        if let Ok(Some(live)) = &live {
            written = write(Some(live));
        }
        if self.json {
            print(&json(comparison, &live)?)?;
        }
        match live.map_err(failed) {
            Ok(live) => {
                if let Some(live) = live.filter(|_| !self.json) {
                    print(&live.to_string())?;
                }
                written
            }
            Err(of_live) => match written {
                Ok(()) => Err(of_live),
                Err(of_report) => Err(Error::Failed(format!("{of_live}; {of_report}"))),
            },
        }
    }
}

/// The comparison, with what the service did in `live`, or why it failed in `live_error`.
fn json(comparison: &Comparison, live: &Result<Option<Live>>) -> Result<String> {
    #[derive(Serialize)]
    struct All<'a> {
        #[serde(flatten)]
        comparison: &'a Comparison,
        #[serde(skip_serializing_if = "Option::is_none")]
        live: Option<&'a Live>,
        #[serde(skip_serializing_if = "Option::is_none")]
        live_error: Option<String>,
    }
    let all = All {
        comparison,
        live: live.as_ref().ok().and_then(Option::as_ref),
        live_error: live.as_ref().err().map(ToString::to_string),
    };
    let json = serde_json::to_string_pretty(&all).map_err(|error| Error::Failed(error.to_string()))?;
    Ok(json + "\n")
}

const DAY: usize = 1440;

fn by_days(days: usize, trace: &Trace) -> Result<Split> {
    let train_end = days.saturating_mul(DAY);
    Split::new(train_end, train_end.saturating_add(DAY), trace.minutes).map_err(|what| {
        // At least a minute is left to test.
        let most = (trace.minutes.saturating_sub(1) / DAY).saturating_sub(1);
        let mend = match most {
            0 => format!("the trace has only {} minutes: divide it with --split", trace.minutes),
            _ => format!("the trace has {} minutes, and one day validates: give 1 to {most}", trace.minutes),
        };
        Error::input(format!("--train-days {days}"), what, mend)
    })
}

/// Of five days and more the last three are the test and the one before validates; shorter traces are cut in the
/// proportions 15 : 2 : 7.
fn by_length(trace: &Trace) -> Result<Split> {
    let minutes = trace.minutes;
    let (train_end, valid_end) = if minutes >= 5 * DAY {
        (minutes - 4 * DAY, minutes - 3 * DAY)
    } else {
        (minutes * 15 / 24, minutes * 17 / 24)
    };
    Split::new(train_end, valid_end, minutes)
        .map_err(|what| Error::input("--trace", what, "replay a trace of at least an hour"))
}

fn two_minutes(text: &str) -> std::result::Result<(usize, usize), String> {
    let parsed = text
        .split_once(',')
        .and_then(|(train, valid)| Some((train.trim().parse().ok()?, valid.trim().parse().ok()?)));
    parsed.ok_or_else(|| "give two minutes, such as 900,1020".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_finished_is_printed_though_the_report_cannot_be_written() {
        let trace = crate::generate::trace(1, 1);
        let split = Split::new(900, 1000, trace.minutes).expect("three parts");
        let options = options(vec![PolicyName::KeepAlive], DEFAULT_COLD_COST, 1);
        let comparison = replay::run(&trace, split, &options, &Progress::hidden()).expect("a comparison");
        let folder = std::env::temp_dir().join(format!("aquatope-unwritten-{}", std::process::id()));
        // The folder goes before the service has run, or was never there.
        for (there, json, fails) in [
            (true, true, false),
            (true, false, false),
            (false, true, false),
            (false, false, false),
            (false, true, true),
            (false, false, true),
        ] {
            if there {
                fs::create_dir_all(&folder).expect("a writable temporary folder");
            }
            let mut printed = String::new();
            let output = Output { report: Some(folder.clone()), json };
            let written = output.write(
                &comparison,
                &trace,
                |text| {
                    printed.push_str(text);
                    Ok(())
                },
                || {
                    let _ = fs::remove_dir_all(&folder);
                    let live = Live { minutes: 7, speed: 1.0, functions: 30, sides: Vec::new() };
                    Some(if fails { Err(Error::Failed("no port is free".into())) } else { Ok(live) })
                },
            );
            let refused = written.expect_err("the folder is gone").to_string();
            assert!(refused.contains("report.html"), "{refused}");
            assert_eq!(refused.contains("no port is free"), fails, "{refused}");
            let (compared, served) =
                if json { ("\"points\":", "\"live\":") } else { ("keep-alive", "7 minutes of the load") };
            assert!(printed.contains(compared) && printed.contains(served) != fails, "{printed}");
            assert_eq!(printed.contains("Report:"), there && !json);
        }
    }
}
