//! When each of our shards is to be opened: at once, one attempt at a time, and after a pause that doubles when that failed
//! or somebody else has opened it since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Turns {
    under_way: BTreeSet<i32>,
    failed: BTreeMap<i32, Failed>,
}

#[derive(Debug)]
struct Failed {
    /// Not again before this.
    until: Instant,
    pause: Duration,
    /// Why it could not be opened; nothing once it was.
    error: Option<String>,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// As long as it may take until the group's word arrives.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

impl Turns {
    /// The shards of `ours` that are to be opened now.
    pub(super) fn due(&mut self, ours: &BTreeSet<i32>, held: &[i32], now: Instant) -> Vec<i32> {
        self.failed.retain(|shard, _| ours.contains(shard));
        let waits = |shard: &i32| self.failed.get(shard).is_some_and(|failed| now < failed.until);
        let open = ours.iter().copied().filter(|shard| !held.contains(shard) && !waits(shard));
        let open: Vec<i32> = open.filter(|shard| !self.under_way.contains(shard)).collect();
        self.under_way.extend(&open);
        open
    }

    pub(super) fn handle_opened(&mut self, shard: i32) {
        self.under_way.remove(&shard);
        if let Some(failed) = self.failed.get_mut(&shard) {
            failed.error = None;
        }
    }

    /// It could not be opened for this `error`; or it was lost to somebody else.
    pub(super) fn handle_failed(&mut self, shard: i32, error: Option<String>, now: Instant) {
        self.under_way.remove(&shard);
        // One that was held for a while begins anew.
        let last = self.failed.get(&shard).filter(|last| now < last.until + LONGEST_PAUSE);
        let pause = last.map_or(FIRST_PAUSE, |last| (2 * last.pause).min(LONGEST_PAUSE));
        self.failed.insert(shard, Failed { until: now + pause, pause, error });
    }

    /// Why shards cannot be opened: the first of them.
    pub(super) fn error(&self) -> Option<String> {
        self.failed
            .iter()
            .find_map(|(shard, failed)| Some(format!("shard {shard}: {}", failed.error.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_was_lost_is_left_to_its_owner_for_a_while() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let ours = BTreeSet::from([1, 2]);
        let mut turns = Turns::default();
        assert_eq!(turns.due(&ours, &[], at(0)), [1, 2]);
        assert_eq!(turns.due(&ours, &[], at(0)), [0; 0], "under way");
        turns.handle_opened(1);
        turns.handle_opened(2);
        let mut second = 0;
        for pause in [1, 2, 4, 8, 8] {
            // Lost as soon as it is there.
            turns.handle_failed(1, None, at(second));
            assert_eq!(turns.due(&ours, &[2], at(second + pause - 1)), [0; 0]);
            second += pause;
            assert_eq!(turns.due(&ours, &[2], at(second)), [1]);
            turns.handle_opened(1);
        }
        // After it was held for long it was lost for another reason.
        turns.handle_failed(1, None, at(1_000));
        assert_eq!(turns.due(&ours, &[2], at(1_001)), [1]);
        // It is not ours any more, and then it is.
        turns.handle_failed(1, None, at(1_002));
        assert_eq!(turns.due(&BTreeSet::from([2]), &[2], at(1_002)), [0; 0]);
        assert_eq!(turns.due(&ours, &[2], at(1_002)), [1]);
    }

    #[test]
    fn an_error_is_shown_until_that_shard_opens() {
        let (now, ours) = (Instant::now(), BTreeSet::from([3, 5]));
        let mut turns = Turns::default();
        turns.handle_failed(3, Some("no leader".into()), now);
        turns.handle_opened(5);
        assert_eq!(turns.error().as_deref(), Some("shard 3: no leader"));
        turns.handle_failed(5, None, now);
        assert_eq!(turns.error().as_deref(), Some("shard 3: no leader"));
        turns.handle_opened(3);
        assert_eq!(turns.error(), None);
        turns.handle_failed(3, Some("no leader".into()), now);
        turns.due(&BTreeSet::from([5]), &[5], now);
        assert_eq!(turns.error(), None, "it is another instance's now");
        assert_eq!(turns.due(&ours, &[], now), [3]);
    }
}
