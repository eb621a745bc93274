//! Applies the newest plan, and again when that failed.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use super::{BackEnd, Wants};
use crate::board::Board;
use crate::clock::Clock;
use crate::source::SharedStatus;
use crate::write;

/// The first pause after a failure; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Carries plans out, one after the other; a plan that a newer one overtakes is left out. While another instance is on
/// duty, it waits.
pub struct Runner {
    back_end: BackEnd,
    plans: watch::Receiver<Arc<Wants>>,
    board: Arc<RwLock<Board>>,
    clock: Clock,
    ingest: SharedStatus,
}

impl Runner {
    pub(crate) fn new(
        back_end: BackEnd,
        plans: watch::Receiver<Arc<Wants>>,
        board: Arc<RwLock<Board>>,
        clock: Clock,
        ingest: SharedStatus,
    ) -> Self {
        {
            let shown = &mut write(&board).actuator;
            shown.kind = back_end.name();
            shown.capabilities = back_end.capabilities().to_string();
        }
        Self { back_end, plans, board, clock, ingest }
    }

    /// Until the planner is gone.
    pub async fn run(mut self) {
        let mut pause = None;
        loop {
            let wait = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.plans.changed() => if changed.is_err() { return },
                () = wait => {}
            }
            let wants = Arc::clone(&self.plans.borrow_and_update());
            if !self.ingest.get().duty.acts() {
                pause = Some(FIRST_PAUSE);
                continue;
            }
            let outcome = self.back_end.apply(&wants).await;
            let board = &mut write(&self.board).actuator;
            match outcome {
                Ok(applied) => {
                    for remark in applied.remarks {
                        tracing::warn!(back_end = board.kind, "{remark}");
                    }
                    if applied.calls > 0 {
                        board.calls += u64::from(applied.calls);
                        board.changed_ms = Some(self.clock.now().0);
                    }
                    (board.failing, board.error, pause) = (0, None, None);
                }
                Err(error) => {
                    let next = pause.map_or(FIRST_PAUSE, |pause: Duration| (2 * pause).min(LONGEST_PAUSE));
                    tracing::error!(back_end = board.kind, again_in_s = next.as_secs(), "{error}");
                    board.failures += 1;
                    board.failing += 1;
                    board.error = Some(error);
                    pause = Some(next);
                }
            }
        }
    }
}
