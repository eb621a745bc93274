//! The messages of the topic `events`, with their fields in random order as OpenWhisk's are.

use rand_core::Rng;
use serde_json::{Value, json};

use crate::platform::records::Run;

/// The message about a run that ended, written at `now_ms` by `source`.
pub(crate) fn activation<R: Rng + ?Sized>(run: &Run, source: &str, now_ms: i64, rng: &mut R) -> Vec<u8> {
    let mut body = vec![
        ("name", json!(run.path)),
        ("activationId", json!(run.id)),
        ("statusCode", json!(run.status.code())),
        ("duration", json!(run.duration_ms)),
        ("waitTime", json!(run.wait_ms)),
        ("initTime", json!(run.init_ms)),
        ("kind", json!(run.kind)),
        ("conductor", json!(false)),
        ("memory", json!(run.memory_mb)),
        ("size", json!(run.result.to_string().len())),
    ];
    if run.cause.is_some() {
        body.push(("causedBy", json!("sequence")));
    }
    envelope("Activation", source, &run.namespace, now_ms, body, rng)
}

/// The message that `name` of `namespace` is `value`.
pub(crate) fn metric<R: Rng + ?Sized>(
    name: &str,
    value: u64,
    namespace: &str,
    now_ms: i64,
    rng: &mut R,
) -> Vec<u8> {
    let body = vec![("metricName", json!(name)), ("metricValue", json!(value))];
    envelope("Metric", CONTROLLER, namespace, now_ms, body, rng)
}

/// The one controller's name in messages.
pub(crate) const CONTROLLER: &str = "controller0";

fn envelope<R: Rng + ?Sized>(
    event_type: &str,
    source: &str,
    namespace: &str,
    now_ms: i64,
    body: Vec<(&str, Value)>,
    rng: &mut R,
) -> Vec<u8> {
    let body = object(body.into_iter().map(|(key, value)| (key, value.to_string())).collect(), rng);
    let text = |text: &str| Value::from(text).to_string();
    let fields = vec![
        ("source", text(source)),
        ("eventType", text(event_type)),
        ("timestamp", now_ms.to_string()),
        ("subject", text(namespace)),
        ("namespace", text(namespace)),
        ("userId", text("23bc46b1-0000-4000-8000-000000000000")),
        ("body", body),
    ];
    object(fields, rng).into_bytes()
}

/// A JSON object of `fields` (already JSON) in random order.
fn object<R: Rng + ?Sized>(mut fields: Vec<(&str, String)>, rng: &mut R) -> String {
    for i in (1..fields.len()).rev() {
        fields.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use aquatope_openwhisk::event::{Event, Status, decode};
    use proptest::prelude::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    use super::*;

    fn run() -> impl Strategy<Value = Run> {
        let numbers = (0..1_000_000i64, -1000..1_000_000i64, 0..10_000i64, 128..2048u32, 0..4i64);
        (numbers, ".{1,20}", any::<bool>(), any::<u64>()).prop_map(|(numbers, name, part, id)| {
            let (duration_ms, wait_ms, init_ms, memory_mb, status) = numbers;
            Run {
                id: format!("{id:032x}"),
                namespace: "guest".into(),
                path: format!("guest/{name}"),
                kind: "python:3".into(),
                memory_mb,
                status: Status::from_code(status),
                duration_ms,
                wait_ms,
                init_ms,
                cause: part.then(|| "0f".into()),
                ..Run::default()
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(run in run(), now_ms in 0..2_000_000_000_000i64, seed: u64) {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let message = activation(&run, "invoker3", now_ms, &mut rng);
            let Ok(Event::Activation(decoded)) = decode(&message) else { panic!("an activation") };
            prop_assert_eq!(&*decoded.source, "invoker3");
            prop_assert_eq!(decoded.timestamp_ms, now_ms);
            prop_assert_eq!(&*decoded.namespace, &run.namespace);
            prop_assert_eq!(&*decoded.name, &run.path);
            prop_assert_eq!(decoded.activation_id.as_deref(), Some(&*run.id));
            prop_assert_eq!(decoded.status, run.status);
            prop_assert_eq!(decoded.duration_ms, run.duration_ms);
            prop_assert_eq!(decoded.wait_ms, run.wait_ms);
            prop_assert_eq!(decoded.init_ms, run.init_ms);
            prop_assert_eq!(&*decoded.kind, &run.kind);
            prop_assert_eq!(decoded.memory_mb, run.memory_mb);
            prop_assert_eq!(decoded.in_sequence, run.cause.is_some());
        }

        #[test]
        fn metrics_too(value: u32, seed: u64) {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let message = metric("TimedRateLimit", u64::from(value), "guest", 5, &mut rng);
            let Ok(Event::Metric(decoded)) = decode(&message) else { panic!("a metric") };
            prop_assert_eq!((decoded.value, decoded.throttled()), (i64::from(value), true));
        }
    }
}
