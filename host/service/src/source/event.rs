//! OpenWhisk's events as the observer takes them.

use aquatope_core::activation::ActivationId;
use aquatope_core::time::Timestamp;
use aquatope_openwhisk::event::{Activation, Status};
use aquatope_openwhisk::fnv::fnv1a_64;

use crate::observe::Finished;

/// A decoded event. `delay_ms` lies between the end of a run and its event: collecting logs, on platforms that do.
pub fn finished<'a>(event: &'a Activation<'_>, delay_ms: u64) -> Finished<'a> {
    Finished {
        name: &event.name,
        namespace: &event.namespace,
        kind: &event.kind,
        id: event.activation_id.as_deref().map(activation_id),
        ended: Timestamp(unsigned(event.timestamp_ms).saturating_sub(delay_ms)),
        duration_ms: unsigned(event.duration_ms),
        // Negative when the controller's clock is ahead of the invoker's.
        wait_ms: unsigned(event.wait_ms),
        init_ms: unsigned(event.init_ms),
        memory_mb: event.memory_mb,
        is_sequence: event.is_workflow(),
        failed: event.status != Status::Success,
    }
}

/// The first 64 bits of an id's 32 hexadecimal digits, which are random. An id of another form is hashed (FNV-1a).
pub fn activation_id(text: &str) -> ActivationId {
    let digits = text.get(..16).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    ActivationId(number.unwrap_or_else(|| fnv1a_64(text.bytes())))
}

pub(super) fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use aquatope_openwhisk::event::{Event, decode};

    use super::*;

    #[test]
    fn an_event_becomes_a_finished_activation() {
        let message = br#"{"source":"invoker0","eventType":"Activation","timestamp":1570013740010,"subject":"s",
            "namespace":"ns","userId":"u","body":{"name":"ns2/a","activationId":"be97c2fed5dc43d097c2fed5dc73d085",
            "statusCode":1,"duration":123,"waitTime":-5,"initTime":10,"kind":"nodejs:20","conductor":false,"memory":128}}"#;
        let Event::Activation(activation) = decode(message).unwrap() else { panic!("an activation") };
        let expected = Finished {
            name: "ns2/a",
            namespace: "ns",
            kind: "nodejs:20",
            id: Some(ActivationId(0xbe97_c2fe_d5dc_43d0)),
            ended: Timestamp(1_570_013_739_910),
            duration_ms: 123,
            wait_ms: 0,
            init_ms: 10,
            memory_mb: 128,
            is_sequence: false,
            failed: true,
        };
        assert_eq!(finished(&activation, 100), expected);
    }

    #[test]
    fn ids_of_any_form_differ() {
        let ids = [
            "be97c2fed5dc43d0aa",
            "be97c2fed5dc43d1",
            "+e97c2fed5dc43d1",
            "short",
            "shorter",
            "ünï-cödé-ïd-long",
        ];
        let mut numbers: Vec<_> = ids.map(activation_id).to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ids.len());
    }
}
