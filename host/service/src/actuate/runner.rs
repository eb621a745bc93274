//! Applies the newest plan, and again when that failed.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use aquatope_core::time::Timestamp;
use tokio::sync::watch;

#[cfg(test)]
use super::Applied;
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
    /// The remarks of the last application: those that come again are not logged again.
    remarks: Vec<String>,
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
        Self { back_end, plans, board, clock, ingest, remarks: Vec::new() }
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
                self.back_end.forget();
                pause = Some(FIRST_PAUSE);
                continue;
            }
            let applied = self.back_end.apply(&wants, self.clock).await;
            let name = self.back_end.name();
            self.new_remarks(applied.remarks).for_each(|remark| tracing::warn!(back_end = name, "{remark}"));
            let board = &mut write(&self.board).actuator;
            board.applied = Some(wants.minute);
            if applied.calls > 0 {
                board.calls += u64::from(applied.calls);
                board.changed_ms = Some(self.clock.now().0);
            }
            let Some(failure) = applied.failure else {
                (board.failing, board.error) = (0, None);
                let left = |at: Timestamp| Duration::from_millis(at.0.saturating_sub(self.clock.now().0));
                pause = applied.again_at.map(|at| self.clock.real(left(at)));
                continue;
            };
            // A pause without a failure was one off duty.
            let last = pause.filter(|_| board.failing > 0);
            let next = last.map_or(FIRST_PAUSE, |pause: Duration| (2 * pause).min(LONGEST_PAUSE));
            tracing::error!(back_end = board.kind, again_in_s = next.as_secs(), "{failure}");
            board.failures += 1;
            board.failing += 1;
            board.error = Some(failure);
            pause = Some(next);
        }
    }
}

impl Runner {
    /// What was not remarked on in the last application.
    fn new_remarks(&mut self, remarks: Vec<String>) -> impl Iterator<Item = &String> {
        let before = std::mem::replace(&mut self.remarks, remarks);
        self.remarks.iter().filter(move |remark| !before.contains(remark))
    }
}

/// A back-end whose answers are known beforehand; then all goes well.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Script {
    pub answers: std::collections::VecDeque<Applied>,
    /// Minutes of the plans, and when they came.
    pub calls: Arc<std::sync::Mutex<Vec<(u32, tokio::time::Instant)>>>,
    pub forgotten: bool,
}

#[cfg(test)]
impl Script {
    pub(super) fn apply(&mut self, wants: &Wants) -> Applied {
        self.calls.lock().unwrap().push((wants.minute, tokio::time::Instant::now()));
        let mut applied = self.answers.pop_front().unwrap_or_default();
        applied.calls += u32::from(std::mem::take(&mut self.forgotten));
        applied
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::read;
    use crate::source::Duty;

    #[tokio::test(start_paused = true)]
    async fn failures_are_tried_again_with_growing_pauses_and_the_newest_plan() {
        let failed = || Applied { calls: 1, ..Applied::from("no connection".to_owned()) };
        let answers = std::iter::repeat_with(failed).take(9).collect();
        let script = Script { answers, ..Script::default() };
        let (calls, board) = (script.calls.clone(), Arc::new(RwLock::new(Board::default())));
        let (plans, planned) = watch::channel(Arc::new(Wants::default()));
        let plan =
            |minute| plans.send_replace(Arc::new(Wants { minute, functions: Vec::new(), share: None }));
        let back_end = BackEnd::Scripted(script);
        let runner = Runner::new(back_end, planned, board.clone(), Clock::system(), SharedStatus::default());
        let runner = tokio::spawn(runner.run());
        let began = tokio::time::Instant::now();
        plan(1);
        tokio::time::sleep(Duration::from_millis(3500)).await;
        {
            let board = &read(&board).actuator;
            assert_eq!(
                (board.calls, board.failures, board.failing),
                (3, 3, 3),
                "calls count in spite of a failure"
            );
            assert_eq!(board.error.as_deref(), Some("no connection"));
        }
        // A newer plan does not wait, and is what is tried again.
        plan(2);
        tokio::time::sleep(Duration::from_secs(400)).await;
        let at: Vec<(u32, u64)> = calls
            .lock()
            .unwrap()
            .iter()
            .map(|(minute, at)| (*minute, (*at - began).as_millis() as u64))
            .collect();
        let expected: [u64; 10] = [0, 1000, 3000, 3500, 11_500, 27_500, 59_500, 119_500, 179_500, 239_500];
        assert_eq!(at.iter().map(|call| call.0).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2, 2, 2, 2, 2]);
        for (call, expected) in at.iter().zip(expected) {
            // The timer counts whole milliseconds.
            assert!(call.1.abs_diff(expected) < 50, "{at:?}");
        }
        {
            let board = &read(&board).actuator;
            assert_eq!((board.failures, board.failing, board.error.clone()), (9, 0, None));
        }
        drop(plans);
        runner.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_limit_left_undone_is_done_when_it_may_be() {
        static NOW: AtomicU64 = AtomicU64::new(55_000);
        let limited = Applied { again_at: Some(Timestamp(60_000)), ..Applied::default() };
        let script = Script { answers: [limited].into(), ..Script::default() };
        let calls = script.calls.clone();
        let (plans, planned) = watch::channel(Arc::new(Wants::default()));
        let (back_end, clock) = (BackEnd::Scripted(script), Clock::stepped(&NOW));
        let runner = Runner::new(back_end, planned, Arc::default(), clock, SharedStatus::default());
        let runner = tokio::spawn(runner.run());
        let began = tokio::time::Instant::now();
        plans.send_replace(Arc::new(Wants { minute: 1, functions: Vec::new(), share: None }));
        tokio::time::sleep(Duration::from_secs(600)).await;
        let at: Vec<u64> = calls.lock().unwrap().iter().map(|(_, at)| (*at - began).as_secs()).collect();
        assert_eq!(at, [0, 5], "once more, and only once");
        drop(plans);
        runner.await.unwrap();
    }

    #[test]
    fn what_was_remarked_on_is_not_told_at_every_plan() {
        let (_, planned) = watch::channel(Arc::new(Wants::default()));
        let (back_end, board) = (BackEnd::Scripted(Script::default()), Arc::default());
        let mut runner = Runner::new(back_end, planned, board, Clock::system(), SharedStatus::default());
        let mut told = |remarks: &[&str]| {
            let remarks = remarks.iter().map(|&remark| remark.to_owned()).collect();
            runner.new_remarks(remarks).cloned().collect::<Vec<_>>()
        };
        assert_eq!(told(&["a", "b"]), ["a", "b"]);
        assert_eq!(told(&["b", "c"]), ["c"]);
        assert_eq!(told(&[]), [""; 0]);
        assert_eq!(told(&["b"]), ["b"], "it had passed");
    }

    #[tokio::test(start_paused = true)]
    async fn off_duty_nothing_is_done_and_afterwards_nothing_is_taken_for_known() {
        let script = Script::default();
        let (calls, board) = (script.calls.clone(), Arc::new(RwLock::new(Board::default())));
        let (plans, planned) = watch::channel(Arc::new(Wants::default()));
        let status = SharedStatus::default();
        status.update(|status| status.duty = Duty::Another);
        let back_end = BackEnd::Scripted(script);
        let runner = Runner::new(back_end, planned, board.clone(), Clock::system(), status.clone());
        let runner = tokio::spawn(runner.run());
        plans.send_replace(Arc::new(Wants { minute: 1, functions: Vec::new(), share: None }));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(calls.lock().unwrap().is_empty());
        status.update(|status| status.duty = Duty::Ours);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(calls.lock().unwrap().len(), 1);
        assert_eq!(read(&board).actuator.calls, 1, "it was told to forget");
        drop(plans);
        runner.await.unwrap();
    }
}
