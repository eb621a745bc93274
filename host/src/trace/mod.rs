//! A recorded load: functions, invocations and peak concurrency per minute, and the events themselves.
//!
//! Readers are one file per format; all of them produce a [`Trace`]. [`read`] tells the format by itself.

pub mod azure;
pub mod long;
mod measure;
mod place;
mod table;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// One function of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// The name in the trace.
    pub name: String,
    /// What starts it, as the trace says (`timer`, `http`, `queue`, ...), or empty.
    pub trigger: String,
    /// The workflow it belongs to.
    pub workflow: Option<u32>,
    /// Index of the upstream function whose completions start this one.
    pub parent: Option<usize>,
    /// Seconds a cold start takes.
    pub cold_start_s: f64,
    /// Memory of one container, MB.
    pub memory_mb: f64,
    /// Mean duration of a warm invocation, seconds.
    pub mean_duration_s: f64,
    /// Invocations one container serves at the same time, at least 1.
    pub concurrency: u32,
}

/// One invocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Index into [`Trace::functions`].
    pub function: u32,
    /// Start, seconds since the trace began.
    pub start_s: f64,
    /// Duration on a warm container, seconds.
    pub duration_s: f64,
}

/// A load of `minutes` whole minutes over some functions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The functions; an index into this is a function's id everywhere.
    pub functions: Vec<Function>,
    /// Length in minutes.
    pub minutes: usize,
    /// Invocations started, `[function][minute]`.
    pub counts: Vec<Vec<u32>>,
    /// Peak simultaneously busy containers (warm durations), `[function][minute]`.
    pub peaks: Vec<Vec<u32>>,
    /// All invocations by start time; empty when the trace only has counts.
    pub events: Vec<Event>,
}

impl Trace {
    /// Lengthen to at least `minutes` quiet minutes, and give every function its row of counts and peaks.
    pub fn extend_to(&mut self, minutes: usize) {
        self.minutes = self.minutes.max(minutes);
        for rows in [&mut self.counts, &mut self.peaks] {
            rows.resize(self.functions.len(), Vec::new());
            for row in rows {
                row.resize(self.minutes, 0);
            }
        }
    }
}

impl Trace {
    /// What was known at the start of `minute`.
    pub fn before(&self, minute: usize) -> Self {
        let minutes = minute.min(self.minutes);
        let known =
            |rows: &[Vec<u32>]| rows.iter().map(|row| row[..minutes.min(row.len())].to_vec()).collect();
        let started = self.events.partition_point(|event| event.start_s < minutes as f64 * 60.0);
        Self {
            functions: self.functions.clone(),
            minutes,
            counts: known(&self.counts),
            peaks: known(&self.peaks),
            events: self.events[..started].to_vec(),
        }
    }
}

/// What the numbers of a trace without events count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Unit {
    /// Invocations started in the minute; they are placed inside it with durations of the trace, or assumed ones.
    #[default]
    Invocations,
    /// Containers in use in the minute; each is held for the whole minute.
    Containers,
}

/// What to read beside the trace itself, and how.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Duration percentiles (Azure schema); without it those beside the trace, if there are any.
    pub durations: Option<PathBuf>,
    /// Memory of applications (Azure schema); without it those beside the trace, if there are any.
    pub memory: Option<PathBuf>,
    /// What the counts of an Azure trace are.
    pub unit: Unit,
    /// Seed of the placement of invocations inside their minute.
    pub seed: u64,
}

/// Read a trace, its [events](Trace::events) filled in, and the split it states, if it does.
///
/// A folder with `invocations*.csv`, or a file with the column `HashFunction`, is read as [`azure`]; everything
/// else as [`long`]. Long traces without `events.csv` hold each minute's `act` containers for the whole minute.
///
/// # Errors
/// Whatever is wrong with a file, naming file, line and column.
pub fn read(path: &Path, options: &ReadOptions) -> Result<(Trace, Option<Split>)> {
    let folder = path.is_dir();
    let days = if folder {
        azure::day_files(path)?
    } else if azure::is_invocations(path)? {
        vec![path.to_owned()]
    } else {
        Vec::new()
    };
    if days.is_empty() {
        return read_long(path, options);
    }
    let beside = |given: &Option<PathBuf>, found: fn(&Path) -> Result<Vec<PathBuf>>| match given {
        Some(file) => Ok(vec![file.clone()]),
        None if folder => found(path),
        None => Ok(Vec::new()),
    };
    let durations = beside(&options.durations, azure::duration_files)?;
    let memory = beside(&options.memory, azure::memory_files)?;
    let mut counts = azure::read(&days, &durations, &memory)?;
    check_size(path, &counts.trace.counts)?;
    if options.unit == Unit::Invocations {
        return Ok((place::invocations(counts, options.seed), None));
    }
    counts.trace.peaks = counts.trace.counts.clone();
    place::containers(&mut counts.trace);
    Ok((counts.trace, None))
}

fn read_long(path: &Path, options: &ReadOptions) -> Result<(Trace, Option<Split>)> {
    for (given, option) in [(&options.durations, "--durations"), (&options.memory, "--memory")] {
        if given.is_some() {
            return Err(Error::input(
                option,
                "belongs to the Azure schema",
                "put durations into functions.csv",
            ));
        }
    }
    if options.unit == Unit::Containers {
        return Err(Error::input(
            "--unit containers",
            "belongs to the Azure schema",
            "leave it out: the column act states the containers in use",
        ));
    }
    let (mut trace, split) = long::read(path)?;
    if trace.events.is_empty() {
        check_size(path, &trace.peaks)?;
        place::containers(&mut trace);
    }
    Ok((trace, split))
}

/// Most minutes of all functions together (8 bytes each): a few short lines could ask for terabytes.
const MAX_FUNCTION_MINUTES: usize = 1 << 28;

/// Refuse `minutes` of `functions` that would not fit into memory.
fn check_length(path: &Path, functions: usize, minutes: usize) -> Result<()> {
    if functions.saturating_mul(minutes) <= MAX_FUNCTION_MINUTES {
        return Ok(());
    }
    Err(Error::input(
        path.display().to_string(),
        format!(
            "{functions} functions over {minutes} minutes, and at most {MAX_FUNCTION_MINUTES} minutes of all functions \
             together are read"
        ),
        "read fewer functions or days, or correct the largest minute or function",
    ))
}

/// Most invocations held in memory (24 bytes each).
const MAX_EVENTS: u64 = 200_000_000;

fn check_size(path: &Path, counts: &[Vec<u32>]) -> Result<()> {
    let total: u64 = counts.iter().flatten().map(|&count| u64::from(count)).sum();
    if total <= MAX_EVENTS {
        return Ok(());
    }
    Err(Error::input(
        path.display().to_string(),
        format!("{total} invocations, and at most {MAX_EVENTS} are replayed at once"),
        "replay fewer functions or days",
    ))
}

/// How a trace is divided in time, in minutes counted from 0: up to `train_end` to train, from there to `valid_end` to
/// validate, from there to `end` to test; the minute at an end belongs to what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// First minute after training.
    pub train_end: usize,
    /// First minute of the test.
    pub valid_end: usize,
    /// First minute after the test.
    pub end: usize,
}

impl Split {
    /// A split with something to train on and something to test.
    ///
    /// # Errors
    /// What is wrong, when a part is empty or the ends do not grow.
    pub fn new(train_end: usize, valid_end: usize, end: usize) -> std::result::Result<Self, String> {
        let split = Self { train_end, valid_end, end };
        if train_end == 0 {
            return Err("the training part is empty".into());
        }
        if valid_end <= train_end {
            return Err(format!(
                "the validation part, from minute {train_end} to before {valid_end}, is empty"
            ));
        }
        if end <= valid_end {
            return Err(format!("the test part, from minute {valid_end} to before {end}, is empty"));
        }
        Ok(split)
    }
}
