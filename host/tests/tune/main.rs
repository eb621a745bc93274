//! The resource manager from outside: files, simulator, and the real binary.

mod golden;
mod support;
mod workflow_file;
