//! The store across restarts, on a full disk, and on files that are not its own.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aquatope_core::activation::ActivationId;
use aquatope_core::time::Timestamp;
use redb::StorageBackend;
use redb::backends::FileBackend;

use super::*;

const TOPIC: &str = "events";

fn info(name: &str) -> FunctionInfo {
    FunctionInfo { name: name.into(), kind: "python:3".into(), memory_mb: 256, ..FunctionInfo::default() }
}

fn window(minute: u32, invocations: u32) -> Window {
    Window { minute: Minute(minute), invocations, cold_starts: 1, peak: 2, busy_ms: 1 << 20 }
}

/// Minute `minute` was closed, with a window of each of `functions`.
fn closing(minute: u32, functions: u32) -> Commit {
    Commit {
        open: Some(Minute(minute + 1)),
        windows: (0..functions).map(|id| (FunctionId(id), window(minute, id + 1))).collect(),
        functions: (0..functions).map(|id| (FunctionId(id), info(&format!("guest/f{id}")))).collect(),
        offsets: vec![PartitionOffsets { partition: 0, resume: 7, position: 9 }],
        exclusions: Some(vec![(ActivationId(5), Timestamp(6))]),
    }
}

fn windows(store: &Store) -> Vec<(FunctionId, Window)> {
    let mut windows = Vec::new();
    store.for_each_window(Minute(0)..Minute(u32::MAX), |id, window| windows.push((id, window))).unwrap();
    windows
}

#[test]
fn survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let store = Store::open(&path, 15).unwrap();
    assert_eq!(store.restored(TOPIC).unwrap(), Restored::default());
    let commit = closing(100, 3);
    let aside = Unreadable { partition: 0, offset: 8, reason: "not JSON".into(), message: vec![1, 2] };
    store.commit(TOPIC, &commit, std::slice::from_ref(&aside)).unwrap();
    store.commit(TOPIC, &closing(101, 1), &[]).unwrap();
    store.put("model", b"weights").unwrap();
    assert!(matches!(Store::open(&path, 15), Err(StoreError::InUse { .. })));
    drop(store);

    let store = Store::open(&path, 15).unwrap();
    let restored = store.restored(TOPIC).unwrap();
    assert_eq!((restored.open, restored.functions.len()), (Some(Minute(102)), 3));
    assert_eq!(restored.functions[2].name, "guest/f2");
    assert_eq!((restored.offsets, restored.exclusions), (commit.offsets, commit.exclusions.unwrap()));
    assert_eq!(store.restored("another-topic").unwrap().offsets, []);
    let expected: Vec<_> = commit.windows.into_iter().chain(closing(101, 1).windows).collect();
    assert_eq!(windows(&store), expected);
    assert_eq!(store.unreadable().unwrap(), [aside]);
    assert_eq!(store.get("model").unwrap().as_deref(), Some(&b"weights"[..]));
    assert_eq!(store.get("study").unwrap(), None);
}

#[test]
fn old_windows_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("state"), 1).unwrap();
    for minute in [0, 1, 1_439, 1_440] {
        store.commit(TOPIC, &closing(minute, 1), &[]).unwrap();
    }
    let minutes: Vec<_> = windows(&store).iter().map(|(_, window)| window.minute.0).collect();
    assert_eq!(minutes, [1, 1_439, 1_440], "a day before minute 1441, the first that is open");
}

#[test]
fn few_unreadable_messages_are_kept() {
    let store = Store::in_memory().unwrap();
    let message = |offset| Unreadable { partition: 0, offset, reason: String::new(), message: Vec::new() };
    let messages: Vec<_> = (0..1_200).map(message).collect();
    store.commit(TOPIC, &Commit::default(), &messages).unwrap();
    let kept = store.unreadable().unwrap();
    assert_eq!((kept.len() as u64, kept[0].offset), (Unreadable::CAPACITY, 200));
    // A topic made anew begins with the lowest offsets.
    store.commit(TOPIC, &Commit::default(), &[message(0)]).unwrap();
    store.commit(TOPIC, &Commit::default(), &[message(1)]).unwrap();
    let kept = store.unreadable().unwrap();
    let offsets: Vec<_> = kept.iter().map(|message| message.offset).collect();
    assert_eq!((offsets.len(), offsets[0], &offsets[997..]), (1_000, 202, &[1_199, 0, 1][..]));
}

#[test]
fn other_files_are_refused_with_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but long enough to be read as the head of one".repeat(200))
        .unwrap();
    let error = Store::open(&path, 15).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("notes.txt: damaged, or not a state file"), "{error}");

    let path = folder.path().join("foreign");
    let other = Database::create(&path).unwrap();
    let write = other.begin_write().unwrap();
    write.open_table(ABOUT).unwrap().insert(FORMAT, &b"another 7"[..]).unwrap();
    write.commit().unwrap();
    drop(other);
    let error = Store::open(&path, 15).unwrap_err();
    assert!(error.to_string().contains("foreign: written as `another 7`"), "{error}");

    let error = Store::open(folder.path().join("missing/state"), 15).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
}

#[test]
fn a_disk_that_failed_leaves_no_damage() {
    for error in [redb::Error::PreviousIo, redb::Error::DatabaseClosed] {
        let error = StoreError::new(Path::new("state"), error);
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
        assert!(!error.to_string().contains("damaged"), "{error}");
    }
}

#[test]
fn a_torn_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let store = Store::open(&path, 15).unwrap();
    for minute in 0..50 {
        store.commit(TOPIC, &closing(minute, 200), &[]).unwrap();
    }
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for cut in [1, 300, 5_000, whole.len() / 2] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error = Store::open(&path, 15).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "cut at {cut}: {error:?}");
    }
}

/// A disk that holds only so many bytes.
#[derive(Debug)]
struct Limited {
    file: FileBackend,
    bytes: Arc<AtomicU64>,
}

impl StorageBackend for Limited {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.bytes.load(Ordering::Relaxed) && len > self.file.len()? {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset + data.len() as u64 > self.bytes.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.file.write(offset, data)
    }
}

/// A store on a disk that holds as many bytes as it is told.
pub(crate) fn on_limited_disk(path: &Path) -> (Store, Arc<AtomicU64>) {
    let bytes = Arc::new(AtomicU64::new(u64::MAX));
    let opener = {
        let (path, bytes) = (path.to_owned(), bytes.clone());
        move |builder: &Builder| {
            let mut options = std::fs::OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
            builder.create_with_backend(Limited { file: FileBackend::new(file)?, bytes: bytes.clone() })
        }
    };
    (Store::with_opener(path.to_owned(), None, Box::new(opener)).unwrap(), bytes)
}

#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (store, bytes) = on_limited_disk(&path);
    store.commit(TOPIC, &closing(0, 10), &[]).unwrap();
    bytes.store(std::fs::metadata(&path).unwrap().len(), Ordering::Relaxed);
    let mut failures = 0;
    let mut expected = closing(0, 10).windows;
    for minute in 1..25 {
        let commit = closing(minute, 10_000);
        while let Err(error) = store.commit(TOPIC, &commit, &[]) {
            assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
            assert!(error.to_string().contains("no space left"), "{error}");
            failures += 1;
            // What was durable is still there, and can be read on a full disk once some space is free.
            bytes.fetch_add(1 << 18, Ordering::Relaxed);
        }
        expected.extend(commit.windows);
    }
    assert!(failures > 3, "the disk was full {failures} times");
    assert_eq!(windows(&store), expected);
    drop(store);
    assert_eq!(windows(&Store::open(&path, 15).unwrap()), expected);
}

/// A log in memory, shared by those who open it.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<(Vec<Change>, Option<LogError>)>>);

impl Changelog for Memory {
    fn read(&mut self, each: &mut dyn FnMut(Change) -> Result<(), LogError>) -> Result<(), LogError> {
        self.0.lock().unwrap().0.iter().cloned().try_for_each(each)
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), LogError> {
        let mut log = self.0.lock().unwrap();
        match &log.1 {
            Some(error) => Err(error.clone()),
            None => {
                log.0.extend_from_slice(changes);
                Ok(())
            }
        }
    }
}

#[test]
fn a_copy_of_a_log_holds_what_the_log_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard");
    let log = Memory::default();
    let store = Store::from_log(&path, 1, Box::new(log.clone())).unwrap();
    for minute in [0, 1_000, 2_000] {
        store.commit(TOPIC, &closing(minute, 1), &[]).unwrap();
    }
    store.put("model", b"weights").unwrap();
    let (restored, kept) = (store.restored(TOPIC).unwrap(), windows(&store));
    assert_eq!(kept.len(), 2, "a day is kept");
    // The file may be gone, or be another instance's.
    drop(store);
    let store = Store::from_log(&path, 1, Box::new(log.clone())).unwrap();
    assert_eq!((store.restored(TOPIC).unwrap(), windows(&store)), (restored.clone(), kept.clone()));
    assert_eq!(store.get("model").unwrap(), Some(b"weights".to_vec()));

    log.0.lock().unwrap().1 = Some(LogError::Unavailable("no broker".into()));
    assert!(matches!(store.commit(TOPIC, &closing(2_001, 1), &[]), Err(StoreError::Log(_))));
    assert_eq!((store.restored(TOPIC).unwrap(), store.is_lost()), (restored, false), "nothing has changed");
    log.0.lock().unwrap().1 = Some(LogError::Lost);
    assert!(store.put("model", b"others").unwrap_err().is_lost() && store.is_lost());
    assert_eq!(windows(&store), kept);

    let foreign = Change { row: Row::About("format".into()), value: Some(b"aquatope-service 9".to_vec()) };
    *log.0.lock().unwrap() = (vec![foreign], None);
    assert!(matches!(Store::from_log(&path, 1, Box::new(log)), Err(StoreError::Foreign { .. })));
}
