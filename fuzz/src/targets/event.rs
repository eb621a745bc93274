//! Messages of the topic `events`, one a line, through the observer; a line `@ms` moves the clock.

use aquatope_core::time::{Minute, Timestamp};
use aquatope_openwhisk::event::{Event, decode};
use aquatope_service::observe::{Observer, ObserverConfig, Origin, Place, Restored};
use aquatope_service::source::finished;

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let config = ObserverConfig { exact_runs: 4, ..ObserverConfig::default() };
    let mut observer = Observer::new(config, Restored::default());
    observer.handle_assigned(0, 0);
    let mut counted = 0;
    for (offset, line) in (0..).zip(bytes.split(|&byte| byte == b'\n')) {
        let place = Place { partition: 0, offset };
        if let Some(now) = line.strip_prefix(b"@").and_then(|ms| str::from_utf8(ms).ok()?.parse().ok()) {
            observer.handle_caught_up(0, Timestamp(now));
            observer.handle_timeout(Timestamp(now));
            counted += close(&mut observer);
            continue;
        }
        match decode(line) {
            Ok(Event::Activation(activation)) => {
                assert!(!activation.name.is_empty() && !activation.kind.is_empty());
                assert!(activation.duration_ms >= 0 && activation.init_ms >= 0);
                assert!(activation.start_ms(0) <= activation.end_ms(0));
                assert!(activation.arrival_ms(9) <= activation.start_ms(9) && activation.execution_ms() >= 0);
                observer.handle_activation(Origin::Message(place), &finished(&activation, 10));
            }
            Ok(Event::Metric(metric)) => {
                let at = Timestamp(metric.timestamp_ms.try_into().unwrap_or(0));
                match metric.throttled() {
                    true => observer.handle_throttled(place, &metric.namespace, at),
                    false => observer.handle_other(place, Some(at)),
                }
            }
            Err(_) => assert!(observer.handle_unreadable(place), "unreadable for the first time"),
        }
        assert_eq!(observer.positions().next(), Some((0, offset + 1)));
    }
    assert!(counted <= observer.counters().activations, "{counted} of {:?}", observer.counters());
}

/// Closes what is due and gives back the invocations in it.
fn close(observer: &mut Observer) -> u64 {
    let mut counted = 0;
    while let Some(commit) = observer.poll_commit() {
        let until = commit.open.expect("a commit closes minutes");
        let from = observer.open().unwrap_or(Minute(0));
        assert!(from < until);
        assert!(
            commit.windows.is_sorted_by(|(a, x), (b, y)| (x.minute, a) < (y.minute, b)),
            "a window twice"
        );
        for (function, window) in &commit.windows {
            assert!((function.0 as usize) < observer.functions());
            assert!((from..until).contains(&window.minute), "{from:?} {window:?} {until:?}");
            assert!(window.cold_starts <= window.invocations);
            assert!(window.busy_ms <= 60_000 * u64::from(window.peak), "{window:?}");
            counted += u64::from(window.invocations);
        }
        observer.handle_committed(commit);
    }
    if let Some(report) = observer.poll_report() {
        assert!(report.provisional.iter().all(|(_, window)| window.minute >= report.open));
    }
    counted
}

/// Well-formed inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let messages: Vec<&str> = include_str!("../../../fixtures/wire/events.txt")
        .lines()
        .filter(|line| line.starts_with('{'))
        .collect();
    let mut seeds: Vec<Vec<u8>> = messages
        .chunks(4)
        .map(|chunk| format!("@1700000000000\n{}\n@1700000300000\n@1700000999999", chunk.join("\n")).into())
        .collect();
    seeds.push(
        messages.iter().map(|message| format!("{message}\n@1700000062000\n")).collect::<String>().into(),
    );
    seeds
}
