//! An approval counts only while it is waited for.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// Where an approval is waited for.
#[derive(Debug, Default)]
pub(crate) struct Approval(Mutex<Option<oneshot::Sender<()>>>);

impl Approval {
    /// Approves; false when nobody waits for it now, and then it does not count later either.
    pub(crate) fn give(&self) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        waiting.is_some_and(|waiting| waiting.send(()).is_ok())
    }

    /// From now on somebody waits for it, until what is returned ends or is dropped.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + use<> {
        let (sender, receiver) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        async move {
            if receiver.await.is_err() {
                // Somebody else waits in our place.
                std::future::pending::<()>().await;
            }
        }
    }
}
