//! Forecasts from the last few minutes alone: the last value (persistence) and the largest of the last `w` (how a
//! reactive autoscaler with a stabilisation window sets its replicas).

use std::collections::VecDeque;

use super::PointForecaster;

/// The largest of the last `minutes` values; with one minute, the last value.
#[derive(Clone, Debug)]
pub struct MovingMax {
    minutes: usize,
    last: VecDeque<u32>,
}

impl MovingMax {
    /// Start after `history`, looking back `minutes` (at least one).
    pub fn new(minutes: usize, history: &[u32]) -> Self {
        let minutes = minutes.max(1);
        let last = history[history.len().saturating_sub(minutes)..].iter().copied().collect();
        Self { minutes, last }
    }
}

impl PointForecaster for MovingMax {
    fn predict(&mut self) -> f64 {
        f64::from(self.last.iter().copied().max().unwrap_or(0))
    }

    fn observe(&mut self, value: u32) {
        if self.last.len() == self.minutes {
            self.last.pop_front();
        }
        self.last.push_back(value);
    }

    fn boxed_clone(&self) -> Box<dyn PointForecaster> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_of_three() {
        let mut model = MovingMax::new(3, &[9, 1, 5, 2]);
        let mut predictions = vec![];
        for value in [0, 0, 0, 7] {
            predictions.push(model.predict());
            model.observe(value);
        }
        predictions.push(model.predict());
        assert_eq!(predictions, [5.0, 5.0, 2.0, 0.0, 7.0]);
    }

    #[test]
    fn one_minute_is_the_last_value() {
        let mut model = MovingMax::new(1, &[9, 1]);
        assert_eq!(model.predict(), 1.0);
        model.observe(4);
        assert_eq!(model.predict(), 4.0);
        assert_eq!(MovingMax::new(1, &[]).predict(), 0.0);
    }
}
