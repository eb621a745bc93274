//! What the store keeps of a workflow: the phase it is in, and the search.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Phase, Tuning};
use crate::store::{Store, StoreError};
use crate::tune::Keep;

/// A phase, and what problem it is of. Kept as JSON: limits leave out what they do not name, which only a format with names
/// can read back.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) of: String,
    pub(super) phase: Phase,
}

impl Tuning {
    /// The phase that was kept, if it can be read.
    pub(super) async fn stored(&self) -> Option<Stored> {
        let mut wait = self.platform.pace.retry;
        let bytes = loop {
            match self.get("phase").await {
                Ok(bytes) => break bytes?,
                Err(error) => self.trouble(&error, &mut wait).await,
            }
        };
        self.recovered();
        let stored = serde_json::from_slice(&bytes);
        if stored.is_err() {
            tracing::warn!(
                workflow = self.name(),
                "what is stored of it is of another version: it is searched anew, and a change applied before stays as it is"
            );
        }
        stored.ok()
    }

    pub(super) async fn keep(&self, phase: &Phase) -> Result<(), String> {
        self.keep_of(self.of(), phase).await
    }

    /// Keeps a phase of a problem, however often it takes.
    pub(super) async fn keep_of(&self, of: String, phase: &Phase) -> Result<(), String> {
        let stored = Stored { of, phase: phase.clone() };
        let bytes = serde_json::to_vec(&stored).map_err(|error| error.to_string())?;
        let mut wait = self.platform.pace.retry;
        loop {
            let (key, bytes) = (self.key("phase"), bytes.clone());
            let Err(error) = self.with_store(move |store| store.put(&key, &bytes)).await else { break };
            self.trouble(&error, &mut wait).await;
        }
        self.recovered();
        Ok(())
    }

    pub(super) async fn get(&self, what: &str) -> Result<Option<Vec<u8>>, String> {
        let key = self.key(what);
        self.with_store(move |store| store.get(&key)).await
    }

    /// In a thread of its own: the store of a cluster waits for the brokers.
    async fn with_store<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        let (store, turn) = (Arc::clone(&self.store), Arc::clone(&self.turn).lock_owned().await);
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ask(&store).map_err(|error| error.to_string())
        });
        asked.await.map_err(|error| error.to_string())?
    }

    /// What must be equal for a phase to be gone on with.
    pub(super) fn of(&self) -> String {
        format!("{} {}", self.problem.fingerprint(), self.problem.settings.trials)
    }

    pub(super) fn key(&self, what: &str) -> String {
        format!("workflow/{}/{}/{what}", self.registered.namespace, self.problem.name)
    }
}

/// Where the search is kept.
pub(super) struct Kept {
    pub(super) store: Arc<Store>,
    pub(super) key: String,
}

impl Keep for Kept {
    fn save(&self, bytes: &[u8]) -> Result<(), String> {
        self.store.put(&self.key, bytes).map_err(|error| error.to_string())
    }
}
