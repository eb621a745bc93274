//! A recorded load: functions, invocations and peak concurrency per minute, and the events themselves.
//!
//! Readers are one file per format; all of them produce a [`Trace`].

pub mod long;
mod measure;
mod table;

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

/// How a trace is divided in time, in minutes: train `[0, train_end)`, validate `[train_end, valid_end)`, test
/// `[valid_end, end)`.
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
    pub fn new(train_end: usize, valid_end: usize, end: usize) -> Result<Self, String> {
        let split = Self { train_end, valid_end, end };
        if train_end == 0 {
            return Err("the training part is empty".into());
        }
        if valid_end <= train_end {
            return Err(format!("the validation part [{train_end}, {valid_end}) is empty"));
        }
        if end <= valid_end {
            return Err(format!("the test part [{valid_end}, {end}) is empty"));
        }
        Ok(split)
    }
}
