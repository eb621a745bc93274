//! The one place that asks what time it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aquatope_core::time::Timestamp;

/// The time of day, or one that runs faster from a given instant on (for demonstrations and tests), or stands still.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    System,
    Fast { origin: Timestamp, since: Instant, speed: f64 },
    Stepped(&'static AtomicU64),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `origin` now and runs `speed` times as fast as the system's.
    pub fn fast(origin: Timestamp, speed: f64) -> Self {
        Self(Kind::Fast { origin, since: Instant::now(), speed })
    }

    /// A clock that shows what `now` holds, ms since the epoch: for tests whose outcome is not to depend on the machine.
    /// Steps of more than a minute are doubted as jumps are. Pauses take as long as on the system's clock.
    pub fn stepped(now: &'static AtomicU64) -> Self {
        Self(Kind::Stepped(now))
    }

    /// The present. The system's clock may jump either way; whoever compares has to bear that.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Kind::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
            Kind::Fast { origin, since, speed } => {
                Timestamp(origin.0.saturating_add((since.elapsed().as_secs_f64() * speed * 1e3) as u64))
            }
            Kind::Stepped(now) => Timestamp(now.load(Ordering::Relaxed)),
        }
    }

    /// How much of this clock's time has passed since `instant`, whatever it was set to meanwhile.
    pub fn passed(&self, instant: Instant) -> Duration {
        instant.elapsed().mul_f64(self.speed())
    }

    /// How long to sleep for `duration` of this clock.
    pub fn real(&self, duration: Duration) -> Duration {
        duration.div_f64(self.speed())
    }

    fn speed(&self) -> f64 {
        if let Kind::Fast { speed, .. } = self.0 { speed } else { 1.0 }
    }
}
