//! The resource manager from outside: files, simulator, and the real binary.

mod ask_tell;
mod command_line;
mod compare;
mod concurrency;
mod evaluator;
mod golden;
mod state_file;
mod support;
mod workflow_file;
