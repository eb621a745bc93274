//! What the clock and the trigger say about a minute: features that need no history.
//!
//! Time of day and day of week go in as sine and cosine, so that midnight is next to midnight. Minutes are counted from
//! the Unix epoch (UTC) or from the start of a trace; only the phase differs.

use crate::math::float;
use crate::time::Minute;

const DAY: u32 = 1440;
const WEEK: u32 = 7 * DAY;

/// Sine and cosine of the minute of the day, then of the minute of the week, each in `[-1, 1]`.
pub fn calendar(minute: Minute) -> [f32; 4] {
    let angle = |period: u32| core::f64::consts::TAU * f64::from(minute.0 % period) / f64::from(period);
    let (day, week) = (angle(DAY), angle(WEEK));
    [float::sin(day) as f32, float::cos(day) as f32, float::sin(week) as f32, float::cos(week) as f32]
}

/// Where `minute` stands in a timer's `period` (minutes), in `[-0.5, 0.5)`; 0 for a period of 0.
pub fn phase(minute: Minute, period: u32) -> f32 {
    match minute.0.checked_rem(period) {
        Some(rest) => (f64::from(rest) / f64::from(period) - 0.5) as f32,
        None => 0.0,
    }
}

/// What starts a function, in the classes of the Azure Functions trace (Shahrad et al., ATC '20, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Trigger {
    /// A web request.
    Http,
    /// A clock.
    Timer,
    /// A message in a queue.
    Queue,
    /// Event hubs and grids.
    Event,
    /// A change in a store.
    Storage,
    /// Another function of a workflow.
    Orchestration,
    /// Anything else, or not known.
    #[default]
    Other,
}

impl Trigger {
    /// Number of classes, the length of [`Self::one_hot`].
    pub const COUNT: usize = 7;

    /// The class as a trace names it; case does not matter, an unknown name is [`Self::Other`].
    pub fn from_name(name: &str) -> Self {
        const NAMES: [(&str, Trigger); 6] = [
            ("http", Trigger::Http),
            ("timer", Trigger::Timer),
            ("queue", Trigger::Queue),
            ("event", Trigger::Event),
            ("storage", Trigger::Storage),
            ("orchestration", Trigger::Orchestration),
        ];
        NAMES
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map_or(Self::Other, |&(_, class)| class)
    }

    /// 1 at the place of this class, 0 elsewhere.
    pub fn one_hot(self) -> [f32; Self::COUNT] {
        core::array::from_fn(|place| f32::from(u8::from(place == self as usize)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_of_the_day() {
        let close = |a: [f32; 4], b: [f32; 2]| (a[0] - b[0]).abs() < 1e-6 && (a[1] - b[1]).abs() < 1e-6;
        for (hour, expected) in [(0, [0.0, 1.0]), (6, [1.0, 0.0]), (12, [0.0, -1.0]), (18, [-1.0, 0.0])] {
            assert!(close(calendar(Minute(hour * 60)), expected), "{hour} h");
            assert!(close(calendar(Minute(3 * DAY + hour * 60)), expected), "{hour} h, fourth day");
        }
        assert_eq!(calendar(Minute(5)), calendar(Minute(5 + WEEK)));
        assert_ne!(calendar(Minute(5)), calendar(Minute(5 + DAY)));
    }

    #[test]
    fn phase_of_a_timer() {
        assert_eq!(phase(Minute(0), 15), -0.5);
        assert_eq!(phase(Minute(36), 12), -0.5);
        assert_eq!(phase(Minute(9), 12), 0.25);
        assert_eq!(phase(Minute(9), 0), 0.0);
    }

    #[test]
    fn triggers_by_name() {
        assert_eq!(Trigger::from_name("TIMER"), Trigger::Timer);
        assert_eq!(Trigger::from_name("others"), Trigger::Other);
        assert_eq!(Trigger::Timer.one_hot(), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(Trigger::Other.one_hot()[Trigger::COUNT - 1], 1.0);
    }
}
