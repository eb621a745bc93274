//! Bytes as the files of a trace in the plain long form.
#![no_main]

use aquatope::trace::long;
use aquatope_fuzz::files::Files;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FILES: LazyLock<Files> =
    LazyLock::new(|| Files::new("long", &["series.csv", "functions.csv", "split.csv", "events.csv"]));

fuzz_target!(|bytes: &[u8]| {
    let Ok((trace, split)) = long::read(FILES.write(bytes)) else { return };
    assert!(trace.minutes > 0 && !trace.functions.is_empty());
    for rows in [&trace.counts, &trace.peaks] {
        assert_eq!(rows.len(), trace.functions.len());
        assert!(rows.iter().all(|row| row.len() == trace.minutes));
    }
    for function in &trace.functions {
        assert!(function.parent.is_none_or(|parent| parent < trace.functions.len()));
        assert!(function.concurrency > 0 && function.memory_mb >= 0.0 && function.cold_start_s >= 0.0);
    }
    for event in &trace.events {
        assert!((event.function as usize) < trace.functions.len());
        assert!(event.start_s < trace.minutes as f64 * 60.0 && event.duration_s.is_finite());
    }
    if let Some(split) = split {
        assert!(split.train_end < split.valid_end && split.valid_end < split.end);
        assert!(split.end <= trace.minutes);
    }
});
