//! Bytes as the files of a trace in the schema of Azure Functions 2019.

use crate::files;
use aquatope::trace::{ReadOptions, Unit, read};

const FILES: [&str; 4] = ["invocations.d01.csv", "invocations.d02.csv", "durations.csv", "memory.csv"];

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    // Counts of a million and more are allowed, but take seconds and gigabytes.
    let long_number = bytes.split(|b| !b.is_ascii_digit()).skip(8).any(|digits| digits.len() > 4);
    if bytes.first() == Some(&0)
        || long_number
        || bytes.iter().any(|b| b"eE".contains(b)) && bytes.len() > 900
    {
        return;
    }
    let folder = files::write(bytes, &FILES);
    for unit in [Unit::Invocations, Unit::Containers] {
        let Ok((trace, _)) = read(folder.path(), &ReadOptions { unit, ..ReadOptions::default() }) else {
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
}

/// Well-formed inputs, files between zero bytes.
pub fn seeds() -> Vec<Vec<u8>> {
    let head = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\n";
    let (one, two) =
        (format!("{head}o,a,f,timer,2,0,1\no,a,g,http,0,3,0\n"), format!("{head}o,a,f,timer,0,0,9\n"));
    let durations = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,\
        percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,\
        percentile_Average_99,percentile_Average_100\no,a,f,15,9,1,2,10,10,15,15,15,20,20\n";
    let memory = "HashOwner,HashApp,AverageAllocatedMb\no,a,320\n";
    vec![one.clone().into(), format!("{one}\0{two}").into(), format!("{one}\0\0{durations}\0{memory}").into()]
}
