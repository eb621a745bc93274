//! Decoding of the topic `events`: every historical variant (`fixtures/wire/events.txt`), and any bytes at all.

use aquatope_openwhisk::event::{Event, decode};
use proptest::prelude::*;

const EVENTS: &str = include_str!("../../../fixtures/wire/events.txt");

/// What of an event the fixtures state.
fn understood(message: &str) -> String {
    match decode(message.as_bytes()) {
        Ok(Event::Activation(a)) => format!(
            "= {} {} {} {} id={} {:?} arrived={} ran={} init={} memory={} part={} conductor={} user={:?}",
            a.source,
            a.namespace,
            a.name,
            a.kind,
            a.activation_id.as_deref().unwrap_or("-"),
            a.status,
            a.arrival_ms(0),
            a.execution_ms(),
            a.init_ms,
            a.memory_mb,
            a.in_sequence,
            a.conductor,
            a.user_status,
        ),
        Ok(Event::Metric(m)) => format!(
            "= {} {} {} {} at={} throttled={}",
            m.source,
            m.namespace,
            m.name,
            m.value,
            m.timestamp_ms,
            m.throttled()
        ),
        Err(error) => format!("! {error}"),
    }
}

/// The messages of the fixtures, each with what is expected of it.
fn fixtures() -> Vec<(&'static str, &'static str)> {
    let mut lines = EVENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut pairs = Vec::new();
    while let (Some(message), Some(expected)) = (lines.next(), lines.next()) {
        pairs.push((message, expected));
    }
    pairs
}

#[test]
fn every_historical_variant_is_understood() {
    let fixtures = fixtures();
    assert!(fixtures.len() > 20);
    for (message, expected) in fixtures {
        assert_eq!(understood(message), expected, "{message}");
    }
}

#[test]
fn texts_are_borrowed_from_the_message() {
    let message = fixtures()[0].0.as_bytes();
    let Ok(Event::Activation(activation)) = decode(message) else { panic!("an activation") };
    for text in [&activation.name, &activation.kind, &activation.namespace, &activation.source] {
        assert!(message.as_ptr_range().contains(&text.as_ptr()), "{text}");
    }
}

#[test]
fn the_lag_of_the_message_shifts_all_times() {
    let Ok(Event::Activation(activation)) = decode(fixtures()[1].0.as_bytes()) else {
        panic!("an activation")
    };
    assert_eq!(activation.end_ms(500), 1_700_000_061_500);
    assert_eq!(activation.start_ms(500), 1_700_000_060_500);
    assert_eq!(activation.arrival_ms(500), 1_700_000_059_800);
    assert!(activation.cold());
}

#[test]
fn sequences_and_compositions_are_workflows() {
    let is_workflow = |kind: &str, conductor: bool| {
        let message = format!(
            r#"{{"timestamp":1,"namespace":"ns","body":{{"name":"ns/a","kind":"{kind}","conductor":{conductor}}}}}"#
        );
        let Ok(Event::Activation(activation)) = decode(message.as_bytes()) else { panic!("an activation") };
        activation.is_workflow()
    };
    assert!(is_workflow("sequence", false) && is_workflow("nodejs:20", true));
    assert!(!is_workflow("nodejs:20", false));
}

/// Bytes that look like a message for a while: one of the fixtures with some bytes changed, cut off somewhere.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (any::<prop::sample::Index>(), changes, any::<prop::sample::Index>()).prop_map(|(which, changes, end)| {
        let fixtures = fixtures();
        let mut bytes = fixtures[which.index(fixtures.len())].0.as_bytes().to_vec();
        let len = bytes.len();
        for (at, byte) in changes {
            bytes[at.index(len)] = byte;
        }
        bytes.truncate(end.index(len) + 1);
        bytes
    })
}

/// All times of an event, for overflow checks.
fn use_up(bytes: &[u8]) {
    match decode(bytes) {
        Ok(Event::Activation(a)) => {
            a.arrival_ms(i64::MAX);
            a.arrival_ms(i64::MIN);
            a.execution_ms();
        }
        Ok(Event::Metric(_)) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_event_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        use_up(&bytes);
    }

    #[test]
    fn damaged_messages_are_an_event_or_an_error(bytes in damaged()) {
        use_up(&bytes);
    }
}
