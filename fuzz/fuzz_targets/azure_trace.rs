//! [`aquatope_fuzz::targets::azure_trace`], driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aquatope_fuzz::targets::azure_trace::run(bytes));
