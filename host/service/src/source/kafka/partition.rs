//! How far one partition was read, and whether the topic is still the one that was read.

use std::time::{Duration, Instant};

use crate::config;
use crate::observe::PartitionOffsets;
use crate::source::asker::Ends;

/// A new leader may know of less than was read for a moment. Longer than this, and the topic was made anew.
pub(super) const SHORT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) id: i32,
    pub(super) position: i64,
    /// The last answer.
    pub(super) ends: Ends,
    /// When that was taken in, and how far was read by then: an answer to a question asked later has to say as much.
    pub(super) read_by: (Instant, i64),
    /// Since when the broker has said that there is less than was read.
    pub(super) short_since: Option<Instant>,
}

impl Partition {
    /// Take in an answer at `now`: whether it has said for [`SHORT`] that there is less than was read. An answer to a
    /// question that is older than the last one taken in says nothing: more may have come and been read since.
    pub(super) fn is_remade(&mut self, ends: Ends, now: Instant) -> bool {
        let (since, position) = self.read_by;
        self.ends = ends;
        self.read_by = (now, self.position);
        if ends.asked < since {
            return false;
        }
        if ends.high >= position {
            self.short_since = None;
            return false;
        }
        now.saturating_duration_since(*self.short_since.get_or_insert(now)) > SHORT
    }
}

/// Where to read a partition from that holds `low..high`: where the last run stopped, or from its beginning if that is
/// gone or the topic was made anew. `Latest` is about where the first reading ever begins: of a partition that was added
/// later nothing is skipped.
pub(super) fn first_position(
    stored: Option<PartitionOffsets>,
    start: config::Start,
    begun: bool,
    low: i64,
    high: i64,
) -> i64 {
    match (stored, start) {
        (Some(stored), _) if low <= stored.resume && stored.position <= high => stored.resume,
        (None, config::Start::Latest) if !begun => high,
        _ => low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Start;

    #[test]
    fn a_partition_added_later_is_read_from_its_beginning() {
        assert_eq!(first_position(None, Start::Latest, false, 3, 9), 9);
        assert_eq!(first_position(None, Start::Latest, true, 3, 9), 3);
    }

    #[test]
    fn only_an_end_that_stays_before_what_was_read_is_of_another_topic() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let ends = |high, asked| Ends { partition: 0, low: 0, high, asked: at(asked) };
        let mut live =
            Partition { id: 0, position: 10, ends: ends(10, 0.0), read_by: (at(0.0), 10), short_since: None };
        for second in 1..100 {
            // More came and was read between question and answer.
            let asked = f64::from(second) - 0.1;
            assert!(!live.is_remade(ends(live.position, asked), at(f64::from(second))));
            live.position += 7;
            // This was asked before that one was taken in.
            assert!(!live.is_remade(ends(1, asked), at(f64::from(second) + 0.1)));
        }
        let mut taken = Vec::new();
        for second in 100..115 {
            let asked = f64::from(second) + 0.5;
            taken.push(live.is_remade(ends(3, asked), at(asked + 0.1)));
        }
        assert_eq!(taken.iter().position(|&remade| remade), Some(11), "after more than ten seconds");
    }

    #[test]
    fn a_restart_goes_on_where_it_stopped_unless_that_is_gone() {
        let first = |resume, position| {
            let stored = PartitionOffsets { partition: 0, resume, position };
            first_position(Some(stored), Start::Latest, true, 3, 9)
        };
        assert_eq!([first(5, 7), first(3, 9)], [5, 3]);
        assert_eq!(first(1, 7), 3, "deleted before it was read");
        assert_eq!([first(5, 10), first(12, 12)], [3, 3], "the topic was made anew");
    }
}
