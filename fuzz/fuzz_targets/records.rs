//! [`aquatope_fuzz::targets::records`], driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aquatope_fuzz::targets::records::run(bytes));
