//! [`aquatope_fuzz::targets::study`], driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aquatope_fuzz::targets::study::run(bytes));
