//! The one place that asks what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aquatope_core::time::Timestamp;

/// The time of day, or one that runs faster from a given instant on (for demonstrations and tests).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    fast: Option<Fast>,
}

#[derive(Clone, Copy, Debug)]
struct Fast {
    origin: Timestamp,
    since: Instant,
    speed: f64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self { fast: None }
    }

    /// A clock that shows `origin` now and runs `speed` times as fast as the system's.
    pub fn fast(origin: Timestamp, speed: f64) -> Self {
        Self { fast: Some(Fast { origin, since: Instant::now(), speed }) }
    }

    /// The present. The system's clock may jump either way; whoever compares has to bear that.
    pub fn now(&self) -> Timestamp {
        match self.fast {
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
            Some(Fast { origin, since, speed }) => {
                Timestamp(origin.0.saturating_add((since.elapsed().as_secs_f64() * speed * 1e3) as u64))
            }
        }
    }

    /// How much of this clock's time has passed since `instant`, whatever it was set to meanwhile.
    pub fn passed(&self, instant: Instant) -> Duration {
        let real = instant.elapsed();
        self.fast.map_or(real, |fast| real.mul_f64(fast.speed))
    }

    /// How long to sleep for `duration` of this clock.
    pub fn real(&self, duration: Duration) -> Duration {
        self.fast.map_or(duration, |fast| duration.div_f64(fast.speed))
    }
}
