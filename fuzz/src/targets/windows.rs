//! Activations with hostile times, and a clock that jumps.

use crate::input::{Operations, read};
use aquatope_core::activation::{Activation, ActivationId, FunctionId};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::{HORIZON, WindowSeries, calendar, phase};
use arbitrary::Arbitrary;
use core::time::Duration;

#[derive(Arbitrary, Debug)]
enum Operation {
    Record { id: u8, start: Time, duration: Span, wait: Span, init: Span },
    Close(Time),
    Provisional(u32),
}

/// A point in time: near the first minute, or anywhere.
#[derive(Arbitrary, Debug)]
enum Time {
    Near(u32),
    Far(u64),
}

#[derive(Arbitrary, Debug)]
enum Span {
    Milliseconds(u16),
    Any(Duration),
}

impl Time {
    fn at(&self, first: Minute) -> Timestamp {
        match self {
            Self::Near(ms) => Timestamp(first.start().0.saturating_add(u64::from(*ms >> 4))),
            Self::Far(ms) => Timestamp(*ms),
        }
    }
}

impl Span {
    fn get(&self) -> Duration {
        match self {
            Self::Milliseconds(ms) => Duration::from_millis(u64::from(*ms)),
            Self::Any(duration) => *duration,
        }
    }
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some(input) = read::<(u32, Span, Operations<Operation>)>(bytes) else { return };
    let (first, lateness, Operations(operations)) = input;
    let first = Minute(first);
    let mut series = WindowSeries::<8>::new(first, lateness.get());
    for operation in operations {
        let open = series.open();
        match operation {
            Operation::Record { id, start, duration, wait, init } => {
                let activation = Activation {
                    function: FunctionId(0),
                    id: ActivationId(u64::from(id)),
                    start: start.at(first),
                    duration: duration.get(),
                    wait: wait.get(),
                    init: init.get(),
                };
                let (from, to) = activation.demand();
                assert!(from < to || from.0 == u64::MAX);
                if series.record(&activation).is_ok() {
                    assert!(series.record(&activation).is_err(), "recorded twice");
                }
            }
            Operation::Close(time) => {
                series.close_until(time.at(first));
                let mut next = series.open();
                assert!(next >= open);
                let mut handed_out = 0;
                while let Some(window) = series.poll_window() {
                    assert_eq!(window.minute, next);
                    check(&window);
                    next = series.open();
                    handed_out += 1;
                }
                assert!(handed_out <= HORIZON);
            }
            Operation::Provisional(minute) => {
                let minute = Minute(minute);
                let window = series.provisional(minute);
                assert_eq!(window.is_some(), minute >= series.open());
                window.iter().for_each(check);
                assert!(calendar(minute).iter().all(|x| (-1.0..=1.0).contains(x)));
                assert!((-0.5..=0.5).contains(&phase(minute, u32::from(minute.0 as u16))));
            }
        }
    }
}

fn check(window: &aquatope_core::window::Window) {
    assert!(window.busy_ms <= u64::from(window.peak) * 60_000);
    assert!(window.cold_starts <= window.invocations);
    assert!(window.peak <= 8 && window.invocations <= 8);
}
