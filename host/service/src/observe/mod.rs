//! Events to per-minute windows of every function, exactly once.

mod report;

pub use report::{FunctionInfo, MinuteReport, SequenceMinute, Throttled};
