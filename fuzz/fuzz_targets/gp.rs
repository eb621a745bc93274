//! [`aquatope_fuzz::targets::gp`], driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aquatope_fuzz::targets::gp::run(bytes));
