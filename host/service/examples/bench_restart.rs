//! How long a restart takes: the state of 10,000 functions, one in ten active in any minute, and three days of it.
//!
//! `make bench-ingest`, or `cargo run --release -p aquatope-service --example bench_restart -- [functions] [days]`. The file is
//! written by a process that aborts, as after a kill; then it is opened and read as the service does.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use aquatope_core::activation::FunctionId;
use aquatope_core::time::Minute;
use aquatope_core::window::Window;
use aquatope_service::observe::{Commit, FunctionInfo, PartitionOffsets};
use aquatope_service::store::Store;

const TOPIC: &str = "events";

/// Minutes in one transaction, to be done sooner.
const AT_ONCE: u32 = 60;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, path, functions, days] = arguments.as_slice()
        && mode == "write"
    {
        write(Path::new(path), functions.parse().unwrap(), days.parse().unwrap());
    }
    let number = |at: usize, default: u32| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (functions, days) = (number(0, 10_000), number(1, 3));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let itself = std::env::current_exe().unwrap();
    let mut writer = Command::new(itself);
    writer.args(["write", path.to_str().unwrap(), &functions.to_string(), &days.to_string()]);
    assert!(!writer.status().unwrap().success(), "it aborts");

    let begun = Instant::now();
    let store = Store::open(&path, 15).unwrap();
    let opened = begun.elapsed();
    let restored = store.restored(TOPIC).unwrap();
    let (mut windows, mut invocations) = (0_u64, 0_u64);
    store
        .for_each_window(Minute(0)..Minute(u32::MAX), |_, window| {
            windows += 1;
            invocations += u64::from(window.invocations);
        })
        .unwrap();
    let read = begun.elapsed();
    assert_eq!(restored.functions.len(), functions as usize);
    println!(
        "{windows} windows of {functions} functions over {days} days, {} MB: opened after {} ms, read after {} ms",
        std::fs::metadata(&path).unwrap().len() >> 20,
        opened.as_millis(),
        read.as_millis(),
    );
    assert!(invocations > windows);
}

fn write(path: &Path, functions: u32, days: u32) {
    let store = Store::open(path, 15).unwrap();
    let info = |id: u32| FunctionInfo {
        name: format!("guest/default/function-{id:05}"),
        kind: "nodejs:20".into(),
        namespace: "guest".into(),
        memory_mb: 256,
        ..FunctionInfo::default()
    };
    let first = 29_900_000;
    let end = first + days * 1_440;
    for minute in (first..end).step_by(AT_ONCE as usize) {
        let minutes = minute..end.min(minute + AT_ONCE);
        let active = |minute: u32| (0..functions).filter(move |id| (id * 7 + minute * 3).is_multiple_of(10));
        let window = |id: u32, minute: u32| Window {
            minute: Minute(minute),
            invocations: 2 + id % 100,
            cold_starts: id % 2,
            peak: 1 + id % 10,
            busy_ms: u64::from(id) * 97,
        };
        let windows = |minute: u32| active(minute).map(move |id| (FunctionId(id), window(id, minute)));
        let commit = Commit {
            open: Some(Minute(minutes.end)),
            windows: minutes.flat_map(windows).collect(),
            functions: if minute == first {
                (0..functions).map(|id| (FunctionId(id), info(id))).collect()
            } else {
                Vec::new()
            },
            offsets: vec![PartitionOffsets { partition: 0, resume: 1, position: 2 }],
            exclusions: None,
        };
        store.commit(TOPIC, &commit, &[]).unwrap();
    }
    std::process::abort();
}
