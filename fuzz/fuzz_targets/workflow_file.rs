//! [`aquatope_fuzz::targets::workflow_file`], driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aquatope_fuzz::targets::workflow_file::run(bytes));
