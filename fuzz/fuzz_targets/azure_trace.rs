//! Bytes as the files of a trace in the schema of Azure Functions 2019.
#![no_main]

use aquatope::trace::{ReadOptions, Unit, read};
use aquatope_fuzz::files::Files;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FILES: LazyLock<Files> = LazyLock::new(|| {
    Files::new("azure", &["invocations.d01.csv", "invocations.d02.csv", "durations.csv", "memory.csv"])
});

fuzz_target!(|bytes: &[u8]| {
    // Counts of a million and more are allowed, but take seconds and gigabytes.
    let long_number = bytes.split(|b| !b.is_ascii_digit()).skip(8).any(|digits| digits.len() > 4);
    if bytes.first() == Some(&0) || long_number || bytes.iter().any(|b| b"eE".contains(b)) && bytes.len() > 900 {
        return;
    }
    for unit in [Unit::Invocations, Unit::Containers] {
        let Ok((trace, _)) = read(FILES.write(bytes), &ReadOptions { unit, ..ReadOptions::default() }) else {
            return;
        };
        for rows in [&trace.counts, &trace.peaks] {
            assert_eq!(rows.len(), trace.functions.len());
            assert!(rows.iter().all(|row| row.len() == trace.minutes));
        }
        assert!(trace.events.is_sorted_by(|a, b| a.start_s <= b.start_s));
        for event in &trace.events {
            assert!((event.function as usize) < trace.functions.len());
            assert!(event.start_s < trace.minutes as f64 * 60.0 && event.duration_s > 0.0);
        }
        for function in &trace.functions {
            assert!(function.memory_mb > 0.0 && function.memory_mb.is_finite());
            assert!(function.mean_duration_s > 0.0 && function.mean_duration_s.is_finite());
        }
    }
});
