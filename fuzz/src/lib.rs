//! Fuzz targets: bytes into every reader, operation lists into every state machine, with what must hold afterwards.
//!
//! Every target is a function of bytes ([`targets::ALL`]). `make test` feeds each of them 400 to 100,000 inputs, some 15
//! CPU seconds in all, that a seeded generator makes ([`mutate`]); `make fuzz` hands them to libFuzzer, which is led by coverage.

pub mod files;
pub mod input;
pub mod mutate;
pub mod number;
pub mod study;
pub mod targets;
/// The one of the core's own tests.
#[path = "../../core/tests/bo/uniform.rs"]
pub mod uniform;
