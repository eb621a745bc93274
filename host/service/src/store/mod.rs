//! What survives a restart, in one file: final windows, functions, the first open minute, where to read on.
//!
//! All that one closing of minutes changes is one transaction, durable before Kafka is told. A closed minute is one
//! compact record. A transaction that fails leaves the file as it was; the same [`Commit`] can then be tried again.

mod error;
#[cfg(test)]
mod tests;
mod windows;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquatope_core::activation::FunctionId;
use aquatope_core::time::Minute;
use aquatope_core::window::Window;
use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::observe::{Commit, FunctionInfo, PartitionOffsets, Restored};

pub use error::StoreError;

/// See the module's header. Shared by reference; one transaction at a time.
pub struct Store {
    path: PathBuf,
    retention: Option<u32>,
    open: Opener,
    /// `None` after a failed write, until it is opened again.
    database: Mutex<Option<Database>>,
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

    /// A store that ends with the process, for demonstrations.
    pub fn in_memory() -> Result<Self, StoreError> {
        let open = |builder: &Builder| builder.create_with_backend(InMemoryBackend::new());
        Self::with_opener("(memory)".into(), None, Box::new(open))
    }

    fn with_opener(path: PathBuf, retention: Option<u32>, open: Opener) -> Result<Self, StoreError> {
        let store = Self { path, retention, open, database: Mutex::new(None) };
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
            let mut about = write.open_table(ABOUT)?;
            if let Some(open) = commit.open {
                about.insert(OPEN, encode(&open).as_slice())?;
            }
            if let Some(exclusions) = &commit.exclusions {
                about.insert(EXCLUSIONS, encode(exclusions).as_slice())?;
            }
            let mut functions = write.open_table(FUNCTIONS)?;
            for (id, info) in &commit.functions {
                functions.insert(id.0, encode(info).as_slice())?;
            }
            let mut table = write.open_table(WINDOWS)?;
            for minute in commit.windows.chunk_by(|a, b| a.1.minute == b.1.minute) {
                table.insert(minute[0].1.minute.0, windows::encode(minute).as_slice())?;
            }
            if let (Some(open), Some(retention)) = (commit.open, self.retention) {
                table.retain_in(..open.0.saturating_sub(retention), |_, _| false)?;
            }
            let mut offsets = write.open_table(OFFSETS)?;
            for of in &commit.offsets {
                offsets.insert((topic, of.partition), (of.resume, of.position))?;
            }
            if !unreadable.is_empty() {
                let mut table = write.open_table(UNREADABLE)?;
                let last = table.last()?.map(|(key, _)| key.value().0);
                let first = last.map_or(0, |last| last.saturating_add(1));
                for (order, message) in (first..).zip(unreadable) {
                    table.insert((order, message.partition), encode(message).as_slice())?;
                }
                while table.len()? > Unreadable::CAPACITY {
                    table.pop_first()?;
                }
            }
            Ok(())
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
        self.write(|write| {
            write.open_table(OTHERS)?.insert(name, bytes)?;
            Ok(())
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
            Some(found) => Err(StoreError::Foreign {
                path: self.path.clone(),
                format: String::from_utf8_lossy(&found).into_owned(),
            }),
        }
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

    /// One transaction, with an fsync. After a failed one the file is opened anew, as redb asks for.
    fn write(&self, write: impl FnOnce(&WriteTransaction) -> Result<(), Failed>) -> Result<(), StoreError> {
        let mut database = self.lock();
        let opened = self.reopen(&mut database)?;
        let run = || {
            let mut transaction = opened.begin_write()?;
            // The file then opens at once after a kill, without a walk through all of it.
            transaction.set_quick_repair(true);
            write(&transaction)?;
            Ok(transaction.commit()?)
        };
        run().map_err(|failed| {
            *database = None;
            self.failed(failed)
        })
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
    Redb(Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
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
