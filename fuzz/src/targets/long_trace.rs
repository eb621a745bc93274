//! Bytes as the files of a trace in the plain long form.

use crate::files;
use aquatope::trace::long;

const FILES: [&str; 4] = ["series.csv", "functions.csv", "split.csv", "events.csv"];

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let folder = files::write(bytes, &FILES);
    let Ok((trace, split)) = long::read(folder.path()) else { return };
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
}

/// Well-formed inputs, files between zero bytes.
pub fn seeds() -> Vec<Vec<u8>> {
    let series = "minute,func,cnt,act\n0,0,2,1\n1,1,1,1\n";
    let functions =
        "func,name,workflow,parent,cold_s,mem_mb,dur_mean_s\n0,front,3,-1,1.5,128,2\n1,back,3,0,2,512,4\n";
    let (split, events) =
        ("key,value\ntrain_end,1\nvalid_end,2\nend,4\n", "func,start_s,dur_s\n1,61,4\n0,5,2\n0,30,2\n");
    vec![
        format!("{series}\0{functions}\0{split}\0{events}").into(),
        format!("{series}\0{functions}").into(),
        series.into(),
        format!("\0{functions}\0\0{events}").into(),
    ]
}
