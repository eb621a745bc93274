//! All targets.

pub mod azure_trace;
pub mod config;
pub mod credentials;
pub mod event;
pub mod gp;
pub mod long_trace;
pub mod manifest;
pub mod models;
pub mod pool;
pub mod records;
pub mod snapshot;
pub mod stream;
pub mod study;
pub mod tuning;
pub mod weights;
pub mod windows;
pub mod workflow;
pub mod workflow_file;

/// A target: what is done with an input, and where inputs come from.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, that of its module and of libFuzzer's program.
    pub name: &'static str,
    /// Panics when something is wrong.
    pub run: fn(&[u8]),
    /// Well-formed inputs; none: random bytes do.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many inputs `make test` tries.
    pub inputs: usize,
}

macro_rules! targets {
    ($($name:ident $inputs:literal $seeds:expr;)*) => {
        /// Every target.
        pub const ALL: &[Target] = &[
            $(Target { name: stringify!($name), run: $name::run, seeds: $seeds, inputs: $inputs },)*
        ];
    };
}

targets! {
    azure_trace 6_000 azure_trace::seeds;
    config 6_000 config::seeds;
    credentials 100_000 credentials::seeds;
    event 10_000 event::seeds;
    gp 4_000 Vec::new;
    long_trace 10_000 long_trace::seeds;
    manifest 20_000 manifest::seeds;
    models 4_000 Vec::new;
    pool 20_000 Vec::new;
    records 40_000 records::seeds;
    snapshot 20_000 snapshot::seeds;
    stream 10_000 stream::seeds;
    study 20_000 Vec::new;
    tuning 400 Vec::new;
    weights 20_000 Vec::new;
    windows 20_000 Vec::new;
    workflow 40_000 Vec::new;
    workflow_file 10_000 workflow_file::seeds;
}
