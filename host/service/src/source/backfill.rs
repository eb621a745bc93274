//! Filling a gap: activations whose messages were lost, from the platform's own records.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aquatope_core::activation::ActivationId;
use aquatope_core::time::Timestamp;
use aquatope_openwhisk::event::Status;
use aquatope_openwhisk::records;
use aquatope_openwhisk::rest::{Client, Selection};
use std::sync::mpsc::Sender;

use super::event::{activation_id, unsigned};
use super::{Command, Waiting};
use crate::observe::Finished;

/// Where records of past activations are to be had.
pub trait Records: Send + Sync {
    /// Hand out what started within `since..=upto`, in any order; stop early when `each` says false.
    ///
    /// # Errors
    /// They are not to be had now; what was handed out may be handed out again.
    fn between(
        &self,
        since: Timestamp,
        upto: Timestamp,
        each: &mut dyn FnMut(&records::Record) -> bool,
    ) -> Result<(), RecordError>;
}

/// Why records are not to be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub String);

/// The records that the platform's REST interface lists: those of one namespace.
#[derive(Debug)]
pub struct PlatformRecords {
    client: Client,
    runtime: tokio::runtime::Handle,
}

impl PlatformRecords {
    /// Through `client`, whose calls run on `runtime`.
    pub fn new(client: Client, runtime: tokio::runtime::Handle) -> Self {
        Self { client, runtime }
    }
}

impl Records for PlatformRecords {
    fn between(
        &self,
        since: Timestamp,
        upto: Timestamp,
        each: &mut dyn FnMut(&records::Record) -> bool,
    ) -> Result<(), RecordError> {
        let ms = |at: Timestamp| i64::try_from(at.0).ok();
        let selection = Selection { since_ms: ms(since), upto_ms: ms(upto), name: None };
        let mut pages = self.client.pages(selection);
        self.runtime.block_on(async {
            loop {
                let page = pages.next().await.map_err(|error| RecordError(error.to_string()))?;
                if page.is_empty() || !page.iter().all(&mut *each) {
                    return Ok(());
                }
            }
        })
    }
}

/// A finished activation, as its record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    name: String,
    namespace: String,
    kind: String,
    id: ActivationId,
    ended: Timestamp,
    duration_ms: u64,
    wait_ms: u64,
    init_ms: u64,
    memory_mb: u32,
    failed: bool,
}

impl Record {
    /// `None`: it is no run of an action. Firings of triggers are listed too, and have no kind.
    fn new(record: &records::Record) -> Option<Self> {
        record.annotation("kind")?;
        let duration_ms = unsigned(record.duration);
        Some(Self {
            name: record.path(),
            namespace: record.namespace.clone(),
            kind: record.kind().to_owned(),
            id: activation_id(&record.activation_id),
            ended: Timestamp(unsigned(record.start).saturating_add(duration_ms)),
            duration_ms,
            wait_ms: unsigned(record.wait_ms()),
            init_ms: unsigned(record.init_ms()),
            memory_mb: record.memory_mb().unwrap_or(0),
            failed: record.status() != Status::Success,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn finished(&self) -> Finished<'_> {
        Finished {
            name: &self.name,
            namespace: &self.namespace,
            kind: &self.kind,
            id: Some(self.id),
            ended: self.ended,
            duration_ms: self.duration_ms,
            wait_ms: self.wait_ms,
            init_ms: self.init_ms,
            memory_mb: self.memory_mb,
            is_sequence: self.kind == "sequence",
            failed: self.failed,
        }
    }
}

/// How often records are asked for before a gap is given up.
const ATTEMPTS: u32 = 10;
/// Between two attempts.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// Fetch the records of a gap of `shards` on a thread of its own, with a `pause` after every attempt that fails;
/// [`Command::Filled`] comes last.
pub(super) fn fill(
    records: Arc<dyn Records>,
    since: Timestamp,
    upto: Timestamp,
    shards: Vec<Waiting>,
    commands: Sender<Command>,
    pause: Duration,
) {
    let work = move || {
        let mut send = |record: &records::Record| {
            Record::new(record).is_none_or(|record| commands.send(Command::Record(record)).is_ok())
        };
        let filled = (1..=ATTEMPTS).any(|attempt| match records.between(since, upto, &mut send) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, attempt, "records for a gap are not to be had");
                if attempt < ATTEMPTS {
                    thread::sleep(pause);
                }
                false
            }
        });
        // The reading thread may have been stopped meanwhile.
        let _ = commands.send(Command::Filled(filled, shards));
    };
    thread::Builder::new()
        .name("backfill".into())
        .spawn(work)
        .expect("the system has room for one more thread");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firings_of_triggers_are_no_runs() {
        let record = |text: &str| -> records::Record { serde_json::from_str(text).unwrap() };
        // As the platform lists it: its end is the epoch, and it has no duration.
        let fired = r#"{"activationId":"0a","namespace":"guest","name":"every-hour","version":"0.0.1","start":1570013740010,
            "end":0,"statusCode":0,"publish":false,"annotations":[]}"#;
        assert_eq!(Record::new(&record(fired)), None);
        let ran = r#"{"activationId":"0b","namespace":"guest","name":"f","start":1570013740010,"end":1570013740020,
            "duration":10,"statusCode":0,"annotations":[{"key":"kind","value":"python:3"}]}"#;
        assert_eq!(Record::new(&record(ran)).map(|record| record.name), Some("guest/f".to_owned()));
    }

    /// A platform that answers at the attempt of this number, having broken off after a record before.
    struct Flapping(std::sync::atomic::AtomicU32);

    impl Records for Flapping {
        fn between(
            &self,
            _: Timestamp,
            _: Timestamp,
            each: &mut dyn FnMut(&records::Record) -> bool,
        ) -> Result<(), RecordError> {
            let text = r#"{"activationId":"0b","namespace":"guest","name":"f","start":1,"duration":10,"statusCode":0,
                "annotations":[{"key":"kind","value":"python:3"}]}"#;
            each(&serde_json::from_str(text).unwrap());
            match self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) {
                1 => Ok(()),
                _ => Err(RecordError("502 Bad Gateway".into())),
            }
        }
    }

    #[test]
    fn a_platform_that_is_gone_is_asked_again_before_the_gap_is_given_up() {
        for (answers_at, filled, attempts) in
            [(1, true, 1), (3, true, 3), (ATTEMPTS, true, ATTEMPTS), (99, false, ATTEMPTS)]
        {
            let (sender, commands) = std::sync::mpsc::channel();
            let waiting = vec![(3, std::time::Instant::now())];
            let records = Arc::new(Flapping(answers_at.into()));
            fill(records, Timestamp(0), Timestamp(100), waiting.clone(), sender, Duration::ZERO);
            let mut all: Vec<Command> = commands.iter().collect();
            let Some(Command::Filled(how, shards)) = all.pop() else { panic!("it ends with that") };
            assert_eq!((how, shards, all.len()), (filled, waiting, attempts as usize), "at {answers_at}");
        }
    }
}
