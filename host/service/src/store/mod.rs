//! What survives a restart, in one file: final windows, functions, the first open minute, where to read on.
//!
//! All that one closing of minutes changes is one transaction, durable before Kafka is told. A closed minute is one
//! compact record. A transaction that fails leaves the file as it was; the same [`Commit`] can then be tried again.
//!
//! With a [`Changelog`] what is durable is the log: every transaction goes there first, and the file is a copy of it that
//! is made anew whenever it is opened.

mod changelog;
mod error;
#[cfg(test)]
pub(crate) mod tests;
mod windows;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquatope_core::activation::FunctionId;
use aquatope_core::time::Minute;
use aquatope_core::window::Window;
use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyDatabase, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::observe::{Commit, FunctionInfo, PartitionOffsets, Restored};

pub use changelog::{Change, Changelog, LogError, Row};
pub use error::StoreError;

/// See the module's header. Shared by reference; one transaction at a time.
pub struct Store {
    path: PathBuf,
    retention: Option<u32>,
    open: Opener,
    /// `None` after a failed write, until it is opened again.
    database: Mutex<Option<Database>>,
    log: Option<Mutex<Box<dyn Changelog>>>,
    /// Another instance writes the log now.
    lost: AtomicBool,
}

type Opener = Box<dyn Fn(&Builder) -> Result<Database, DatabaseError> + Send + Sync>;

/// A message that could not be read, kept aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Why it could not be read, at most [`Self::REASON`] characters.
    pub reason: String,
    /// The beginning of it, at most [`Self::BYTES`].
    pub message: Vec<u8>,
}

impl Unreadable {
    /// How much of a message is kept.
    pub const BYTES: usize = 4_096;
    /// How much of a reason is kept, characters: it may quote the message.
    pub const REASON: usize = 200;
    /// How many are kept; the oldest give way.
    pub const CAPACITY: u64 = 1_000;
}

const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
const FUNCTIONS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("functions");
const WINDOWS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("windows");
/// By topic and partition.
const OFFSETS: TableDefinition<'_, (&str, i32), (i64, i64)> = TableDefinition::new("offsets");
/// By order of arrival, from 0 or after what is there, and partition.
const UNREADABLE: TableDefinition<'_, (i64, i32), &[u8]> = TableDefinition::new("unreadable");
const OTHERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("others");

/// What `about` says: the format, and the state of the observer.
const FORMAT: &str = "format";
const OPEN: &str = "open";
const EXCLUSIONS: &str = "exclusions";

/// Of the tables above; another one is refused.
const VERSION: &[u8] = b"aquatope-service 1";

/// Records of a log in one transaction of the file.
const COPIED: usize = 1_000;

/// redb's cache. The service reads its file only once.
const CACHE_BYTES: usize = 16 << 20;

impl Store {
    /// Open the file at `path`, or make it; windows older than `retention_days` are dropped as minutes are closed.
    ///
    /// # Errors
    /// The file cannot be read or written, is in use by another process, is damaged, or is of another program.
    pub fn open(path: impl Into<PathBuf>, retention_days: u16) -> Result<Self, StoreError> {
        let path = path.into();
        let file = path.clone();
        let retention = Some(u32::from(retention_days) * 1_440);
        Self::with_opener(path, retention, Box::new(move |builder| builder.create(&file)))
    }

    /// Make the file at `path` anew from what `log` holds; what is stored from now on goes to the log first.
    ///
    /// # Errors
    /// The log cannot be read or is not ours, or the file cannot be written.
    pub fn from_log(
        path: impl Into<PathBuf>,
        retention_days: u16,
        mut log: Box<dyn Changelog>,
    ) -> Result<Self, StoreError> {
        let path = path.into();
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Io { path, source });
            }
            _ => {}
        }
        let mut store = Self::open(path, retention_days)?;
        store.copy(log.as_mut())?;
        store.log = Some(Mutex::new(log));
        // So that another version recognises what it cannot read.
        store
            .write(|_| Ok(vec![Change { row: Row::About(FORMAT.into()), value: Some(VERSION.to_vec()) }]))?;
        Ok(store)
    }

    /// Whether another instance writes the log now: nothing can be stored here any more.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether another process has the file at `path` open; it is not changed.
    pub(crate) fn is_in_use(path: &Path) -> bool {
        matches!(ReadOnlyDatabase::open(path), Err(DatabaseError::DatabaseAlreadyOpen))
    }

    /// A store that ends with the process, for demonstrations.
    pub fn in_memory() -> Result<Self, StoreError> {
        let open = |builder: &Builder| builder.create_with_backend(InMemoryBackend::new());
        Self::with_opener("(memory)".into(), None, Box::new(open))
    }

    fn with_opener(path: PathBuf, retention: Option<u32>, open: Opener) -> Result<Self, StoreError> {
        let lost = AtomicBool::new(false);
        let store = Self { path, retention, open, database: Mutex::new(None), log: None, lost };
        let mut database = store.lock();
        let opened = store.reopen(&mut database)?;
        store.check_format(opened)?;
        drop(database);
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the observer of `topic` goes on from.
    pub fn restored(&self, topic: &str) -> Result<Restored, StoreError> {
        self.read(|read| {
            let mut restored = Restored::default();
            if let Some(about) = existing(read.open_table(ABOUT))? {
                restored.open = about.get(OPEN)?.map(|bytes| self.decode(bytes.value())).transpose()?;
                let exclusions = about.get(EXCLUSIONS)?;
                restored.exclusions =
                    exclusions.map(|bytes| self.decode(bytes.value())).transpose()?.unwrap_or_default();
            }
            if let Some(functions) = existing(read.open_table(FUNCTIONS))? {
                for entry in functions.iter()? {
                    let (id, bytes) = entry?;
                    if id.value() as usize != restored.functions.len() {
                        return Err(self.damaged("a function is missing"));
                    }
                    restored.functions.push(self.decode::<FunctionInfo>(bytes.value())?);
                }
            }
            if let Some(offsets) = existing(read.open_table(OFFSETS))? {
                for entry in offsets.range((topic, i32::MIN)..=(topic, i32::MAX))? {
                    let (key, offsets) = entry?;
                    let ((_, partition), (resume, position)) = (key.value(), offsets.value());
                    restored.offsets.push(PartitionOffsets { partition, resume, position });
                }
            }
            Ok(restored)
        })
    }

    /// Hand out the final windows of `minutes` in order of minute, then function; idle ones are left out.
    pub fn for_each_window(
        &self,
        minutes: Range<Minute>,
        mut each: impl FnMut(FunctionId, Window),
    ) -> Result<(), StoreError> {
        self.read(|read| {
            let Some(table) = existing(read.open_table(WINDOWS))? else { return Ok(()) };
            for entry in table.range(minutes.start.0..minutes.end.0)? {
                let (minute, bytes) = entry?;
                windows::decode(Minute(minute.value()), bytes.value(), &mut each)
                    .map_err(|_| self.damaged("a minute's record does not decode"))?;
            }
            Ok(())
        })
    }

    /// Make `commit` and the messages kept aside durable, together. When this returns an error nothing has changed.
    pub fn commit(&self, topic: &str, commit: &Commit, unreadable: &[Unreadable]) -> Result<(), StoreError> {
        self.write(|write| {
            let mut changes = Vec::new();
            let mut set = |row, value| changes.push(Change { row, value: Some(value) });
            if let Some(open) = commit.open {
                set(Row::About(OPEN.into()), encode(&open));
            }
            if let Some(exclusions) = &commit.exclusions {
                set(Row::About(EXCLUSIONS.into()), encode(exclusions));
            }
            for (id, info) in &commit.functions {
                set(Row::Function(id.0), encode(info));
            }
            for minute in commit.windows.chunk_by(|a, b| a.1.minute == b.1.minute) {
                set(Row::Minute(minute[0].1.minute.0), windows::encode(minute));
            }
            for of in &commit.offsets {
                set(Row::Offsets(topic.into(), of.partition), encode(&(of.resume, of.position)));
            }
            if let (Some(open), Some(retention)) = (commit.open, self.retention) {
                let table = write.open_table(WINDOWS)?;
                for entry in table.range(..open.0.saturating_sub(retention))? {
                    changes.push(Change { row: Row::Minute(entry?.0.value()), value: None });
                }
            }
            if !unreadable.is_empty() {
                let table = write.open_table(UNREADABLE)?;
                let last = table.last()?.map(|(key, _)| key.value().0);
                let first = last.map_or(0, |last| last.saturating_add(1));
                let kept = unreadable.len().min(Unreadable::CAPACITY as usize);
                let (skipped, unreadable) = unreadable.split_at(unreadable.len() - kept);
                let spare = (table.len()? + kept as u64).saturating_sub(Unreadable::CAPACITY);
                for entry in table.iter()?.take(spare as usize) {
                    let (order, partition) = entry?.0.value();
                    changes.push(Change { row: Row::Unreadable(order, partition), value: None });
                }
                for (order, message) in (first + skipped.len() as i64..).zip(unreadable) {
                    let row = Row::Unreadable(order, message.partition);
                    changes.push(Change { row, value: Some(encode(message)) });
                }
            }
            Ok(changes)
        })
    }

    /// The messages kept aside.
    pub fn unreadable(&self) -> Result<Vec<Unreadable>, StoreError> {
        self.read(|read| {
            let Some(table) = existing(read.open_table(UNREADABLE))? else { return Ok(Vec::new()) };
            table.iter()?.map(|entry| self.decode(entry?.1.value())).collect()
        })
    }

    /// What was put under `name`.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|read| {
            let Some(table) = existing(read.open_table(OTHERS))? else { return Ok(None) };
            Ok(table.get(name)?.map(|bytes| bytes.value().to_vec()))
        })
    }

    /// Keep `bytes` under `name`, durably: models, studies, the state of workflows.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(|_| Ok(vec![Change { row: Row::Other(name.into()), value: Some(bytes.to_vec()) }]))
    }

    /// Keep `bytes` under `name`, and tell the others what this shard has to tell with its plan, together.
    pub fn put_with_plan(
        &self,
        name: &str,
        bytes: &[u8],
        shard: u32,
        told: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.write(|_| {
            let kept = Change { row: Row::Other(name.into()), value: Some(bytes.to_vec()) };
            Ok(vec![kept, Change { row: Row::Plan(shard), value: Some(told) }])
        })
    }

    fn check_format(&self, database: &Database) -> Result<(), StoreError> {
        let write = database.begin_write().map_err(|error| self.error(error))?;
        let found = {
            let mut about = write.open_table(ABOUT).map_err(|error| self.error(error))?;
            let found = about.get(FORMAT).map_err(|error| self.error(error))?;
            let found = found.map(|bytes| bytes.value().to_vec());
            if found.is_none() {
                about.insert(FORMAT, VERSION).map_err(|error| self.error(error))?;
            }
            found
        };
        match found {
            None => write.commit().map_err(|error| self.error(error)),
            Some(found) if found == VERSION => write.abort().map_err(|error| self.error(error)),
            Some(found) => Err(self.foreign(&found)),
        }
    }

    fn foreign(&self, format: &[u8]) -> StoreError {
        let format = String::from_utf8_lossy(format).into_owned();
        StoreError::Foreign { path: self.path.clone(), format }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, Failed>,
    ) -> Result<T, StoreError> {
        let transaction = {
            let mut database = self.lock();
            let begun = self.reopen(&mut database)?.begin_read();
            begun.map_err(|error| self.error(error))?
        };
        read(&transaction).map_err(|failed| self.failed(failed))
    }

    /// One transaction: into the log if there is one, else with an fsync. After a failed one the file is opened anew, as
    /// redb asks for.
    fn write(
        &self,
        changes: impl FnOnce(&WriteTransaction) -> Result<Vec<Change>, Failed>,
    ) -> Result<(), StoreError> {
        let mut database = self.lock();
        let opened = self.reopen(&mut database)?;
        let run = || {
            let mut transaction = opened.begin_write()?;
            // The file then opens at once after a kill, without a walk through all of it.
            transaction.set_quick_repair(true);
            let changes = changes(&transaction)?;
            apply(&transaction, &changes)?;
            if let Some(log) = &self.log {
                log.lock().unwrap_or_else(PoisonError::into_inner).write(&changes).map_err(Failed::Log)?;
            }
            Ok(transaction.commit()?)
        };
        run().map_err(|failed| {
            match &failed {
                Failed::Log(error) => drop(self.lost.fetch_or(*error == LogError::Lost, Ordering::Relaxed)),
                _ => *database = None,
            }
            self.failed(failed)
        })
    }

    /// Fill the file from the log.
    fn copy(&self, log: &mut dyn Changelog) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        let flush = |changes: &mut Vec<Change>| {
            let changes = std::mem::take(changes);
            let format = Row::About(FORMAT.into());
            let found = changes.iter().rfind(|change| change.row == format);
            if let Some(Change { value: Some(found), .. }) = found
                && found != VERSION
            {
                return Err(self.foreign(found));
            }
            let mut database = self.lock();
            let opened = self.reopen(&mut database)?;
            let run = || {
                let mut transaction = opened.begin_write()?;
                // The first transaction after these makes them durable too.
                transaction.set_durability(Durability::None)?;
                apply(&transaction, &changes)?;
                Ok(transaction.commit()?)
            };
            run().map_err(|failed| self.failed(failed))
        };
        let mut failed = None;
        let read = log.read(&mut |change| {
            changes.push(change);
            if changes.len() == COPIED
                && let Err(error) = flush(&mut changes)
            {
                let told = LogError::Unavailable(error.to_string());
                failed = Some(error);
                return Err(told);
            }
            Ok(())
        });
        match (failed, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(self.failed(Failed::Log(error))),
            (None, Ok(())) => flush(&mut changes),
        }
    }

    fn reopen<'a>(&self, database: &'a mut Option<Database>) -> Result<&'a Database, StoreError> {
        if database.is_none() {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE_BYTES);
            *database = Some((self.open)(&builder).map_err(|error| self.error(error))?);
        }
        Ok(database.as_ref().expect("it was opened if it was not"))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Database>> {
        // A panic elsewhere leaves the file as the last transaction left it.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Failed> {
        postcard::from_bytes(bytes).map_err(|_| self.damaged("a record does not decode"))
    }

    fn damaged(&self, what: &'static str) -> Failed {
        Failed::Store(StoreError::Damaged { path: self.path.clone(), what: what.into() })
    }

    fn failed(&self, failed: Failed) -> StoreError {
        match failed {
            Failed::Store(error) => error,
            Failed::Log(error) => StoreError::Log(error),
            Failed::Redb(error) => StoreError::new(&self.path, *error),
        }
    }

    fn error(&self, error: impl Into<redb::Error>) -> StoreError {
        StoreError::new(&self.path, error.into())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a transaction failed.
enum Failed {
    Store(StoreError),
    Log(LogError),
    Redb(Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

fn apply(write: &WriteTransaction, changes: &[Change]) -> Result<(), Failed> {
    let mut about = write.open_table(ABOUT)?;
    let mut functions = write.open_table(FUNCTIONS)?;
    let mut windows = write.open_table(WINDOWS)?;
    let mut offsets = write.open_table(OFFSETS)?;
    let mut unreadable = write.open_table(UNREADABLE)?;
    let mut others = write.open_table(OTHERS)?;
    for Change { row, value } in changes {
        match (row, value.as_deref()) {
            (Row::About(name), Some(value)) => drop(about.insert(name.as_str(), value)?),
            (Row::About(name), None) => drop(about.remove(name.as_str())?),
            (Row::Function(id), Some(value)) => drop(functions.insert(id, value)?),
            (Row::Function(id), None) => drop(functions.remove(id)?),
            (Row::Minute(minute), Some(value)) => drop(windows.insert(minute, value)?),
            (Row::Minute(minute), None) => drop(windows.remove(minute)?),
            (Row::Offsets(topic, partition), Some(value)) => {
                let value: (i64, i64) = postcard::from_bytes(value)
                    .map_err(|_| Failed::Log(LogError::Foreign(row.to_string())))?;
                offsets.insert((topic.as_str(), *partition), value)?;
            }
            (Row::Offsets(topic, partition), None) => drop(offsets.remove((topic.as_str(), *partition))?),
            (&Row::Unreadable(order, partition), Some(value)) => {
                drop(unreadable.insert((order, partition), value)?);
            }
            (&Row::Unreadable(order, partition), None) => drop(unreadable.remove((order, partition))?),
            (Row::Other(name), Some(value)) => drop(others.insert(name.as_str(), value)?),
            (Row::Other(name), None) => drop(others.remove(name.as_str())?),
            (Row::Plan(_), _) => {}
        }
    }
    Ok(())
}

/// A table that nothing was written to yet does not exist.
fn existing<T>(table: Result<T, TableError>) -> Result<Option<T>, TableError> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data is written to memory")
}
