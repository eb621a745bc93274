//! A recorded load: functions, invocations and peak concurrency per minute, and the events themselves.
//!
//! Readers are one file per format; all of them produce a [`Trace`].

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
