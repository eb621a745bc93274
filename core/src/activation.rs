//! One finished run of a function, as the platform reports it.
//!
//! *Activation* is OpenWhisk's word for an invocation that got a container. Platforms report it when it ends, so
//! activations arrive out of order of their start.

use core::time::Duration;

use crate::time::Timestamp;

/// A function (an OpenWhisk action); the host interns its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FunctionId(pub u32);

/// What tells one activation from another, to recognise a message delivered twice. OpenWhisk's 32 hexadecimal digits
/// are random, so any 64 bits of them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ActivationId(pub u64);

/// One finished activation. The four times have OpenWhisk's meaning: the request arrived `wait` before `start`; a
/// container that was not warm then spent `init` on initialisation; `duration` covers both `init` and the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activation {
    /// The function that ran.
    pub function: FunctionId,
    /// Which activation this is.
    pub id: ActivationId,
    /// When the container took the request.
    pub start: Timestamp,
    /// From `start` to the end of the run, initialisation included.
    pub duration: Duration,
    /// From the arrival of the request to `start`: queueing and, for a cold start, creating the container.
    pub wait: Duration,
    /// Initialisation; zero on a warm container.
    pub init: Duration,
}

impl Activation {
    /// When the request arrived.
    pub const fn arrival(&self) -> Timestamp {
        Timestamp(self.start.0.saturating_sub(millis(self.wait)))
    }

    /// When the run ended.
    pub const fn end(&self) -> Timestamp {
        Timestamp(self.start.0.saturating_add(millis(self.duration)))
    }

    /// Whether no warm container was there; OpenWhisk's own definition of a cold start.
    pub const fn is_cold_start(&self) -> bool {
        !self.init.is_zero()
    }

    /// The time a container would have been busy had one been warm when the request arrived, as `[from, to)`.
    ///
    /// This is what a pool has to hold: it leaves out waiting and initialisation, so the pool's own cold starts do
    /// not feed back into the demand it sees. At least one millisecond long.
    pub const fn demand(&self) -> (Timestamp, Timestamp) {
        let run = millis(self.duration).saturating_sub(millis(self.init));
        let from = self.arrival();
        (from, Timestamp(from.0.saturating_add(if run == 0 { 1 } else { run })))
    }
}

const fn millis(duration: Duration) -> u64 {
    let ms = duration.as_millis();
    if ms > u64::MAX as u128 { u64::MAX } else { ms as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_leaves_out_waiting_and_initialisation() {
        let cold = Activation {
            function: FunctionId(3),
            id: ActivationId(1),
            start: Timestamp(10_000),
            duration: Duration::from_millis(1_500),
            wait: Duration::from_millis(700),
            init: Duration::from_millis(500),
        };
        assert!(cold.is_cold_start());
        assert_eq!(cold.arrival(), Timestamp(9_300));
        assert_eq!(cold.end(), Timestamp(11_500));
        assert_eq!(cold.demand(), (Timestamp(9_300), Timestamp(10_300)));
    }

    #[test]
    fn extreme_times_saturate() {
        let strange = Activation {
            function: FunctionId(0),
            id: ActivationId(0),
            start: Timestamp(5),
            duration: Duration::MAX,
            wait: Duration::MAX,
            init: Duration::MAX,
        };
        assert_eq!(strange.arrival(), Timestamp(0));
        assert_eq!(strange.end(), Timestamp(u64::MAX));
        assert_eq!(strange.demand(), (Timestamp(0), Timestamp(1)));
    }
}
