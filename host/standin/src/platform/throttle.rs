//! The two limits of a namespace: invocations in a fixed wall-clock minute, and invocations at a time.

/// Counts against the limits.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_minute: u64,
    concurrent: u64,
    minute: i64,
    count: u64,
    pub in_flight: u64,
}

/// Which limit turned a request away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// The metric that reports it.
    pub metric: &'static str,
    pub message: String,
}

impl Throttle {
    pub(crate) fn new(per_minute: u64, concurrent: u64) -> Self {
        Self { per_minute, concurrent, minute: 0, count: 0, in_flight: 0 }
    }

    /// Admits a request at `now_ms` unless `exhausted`, or says why not. A request turned away by the rate limit counts
    /// too.
    pub(crate) fn admit(&mut self, now_ms: i64, exhausted: bool) -> Result<(), Exceeded> {
        let minute = now_ms.div_euclid(60_000);
        if minute != self.minute {
            (self.minute, self.count) = (minute, 0);
        }
        self.count += 1;
        let (count, allowed) = (self.count, self.per_minute);
        if exhausted || count > allowed {
            let message =
                format!("Too many requests in the last minute (count: {count}, allowed: {allowed}).");
            return Err(Exceeded { metric: "TimedRateLimit", message });
        }
        let (count, allowed) = (self.in_flight + 1, self.concurrent);
        if count > allowed {
            let message =
                format!("Too many concurrent requests in flight (count: {count}, allowed: {allowed}).");
            return Err(Exceeded { metric: "ConcurrentRateLimit", message });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minute_is_of_the_wall_clock() {
        let mut throttle = Throttle::new(2, 10);
        // Two at the end of a minute and two at the begin of the next are fine.
        for now_ms in [59_998, 59_999, 60_000, 60_001] {
            assert_eq!(throttle.admit(now_ms, false), Ok(()));
        }
        let exceeded = throttle.admit(119_999, false).unwrap_err();
        assert_eq!(exceeded.metric, "TimedRateLimit");
        assert_eq!(exceeded.message, "Too many requests in the last minute (count: 3, allowed: 2).");
        assert_eq!(throttle.admit(120_000, false), Ok(()));
    }

    #[test]
    fn requests_in_flight_are_limited() {
        let mut throttle = Throttle::new(60, 1);
        assert_eq!(throttle.admit(0, false), Ok(()));
        throttle.in_flight = 1;
        assert_eq!(throttle.admit(0, false).unwrap_err().metric, "ConcurrentRateLimit");
    }
}
