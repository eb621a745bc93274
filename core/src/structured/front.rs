//! Pareto fronts of duration and cost, and how they add up along the graph.
//!
//! A front holds at most [`RESOLUTION`] points: of all points whose durations fall into the same bin it keeps the
//! cheapest. Its duration is kept exactly, so what is composed from fronts never promises a shorter duration than it
//! has; it is at most one bin longer than the best point of that cost. When no two points share a bin the front is
//! exact.

use crate::part::Part;

/// Points of a front, and bins of the range of durations that matters.
pub(super) const RESOLUTION: usize = 512;

/// One choice: of a configuration of a function, or of a point on each of two fronts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) duration: f64,
    pub(super) cost: f64,
    /// Index of the configuration, or of the point on the first front.
    pub(super) first: u16,
    /// Index of the point on the second front.
    pub(super) second: u16,
}

pub(super) const NONE: Choice = Choice { duration: 0.0, cost: 0.0, first: 0, second: 0 };

/// Choices by rising duration and falling cost.
#[derive(Clone, Debug)]
pub(super) struct Front {
    choices: [Choice; RESOLUTION],
    len: usize,
}

impl Front {
    pub(super) const fn new() -> Self {
        Self { choices: [NONE; RESOLUTION], len: 0 }
    }

    pub(super) fn choices(&self) -> &[Choice] {
        self.choices.head(self.len)
    }

    /// The shortest duration; infinite without a choice.
    pub(super) fn shortest(&self) -> f64 {
        self.choices().first().map_or(f64::INFINITY, |c| c.duration)
    }

    /// The front of these choices, of which durations from `shortest` to `longest` matter. Not finite ones are left
    /// out.
    pub(super) fn fill(&mut self, shortest: f64, longest: f64, choices: impl Iterator<Item = Choice>) {
        let mut taken = [false; RESOLUTION];
        let range = longest - shortest;
        let scale = if range > 0.0 { (RESOLUTION - 1) as f64 / range } else { 0.0 };
        for choice in choices {
            // NaN fails the first comparison.
            if !(choice.duration <= longest && choice.cost < f64::INFINITY) {
                continue;
            }
            // A negative or overlarge float saturates in the conversion.
            let bin = (((choice.duration - shortest) * scale) as usize).min(RESOLUTION - 1);
            let best = &mut self.choices[bin];
            if !taken[bin] || (choice.cost, choice.duration) < (best.cost, best.duration) {
                (taken[bin], *best) = (true, choice);
            }
        }
        let (mut len, mut cheapest) = (0, f64::INFINITY);
        for bin in 0..RESOLUTION {
            let choice = self.choices[bin];
            if taken[bin]
                && choice.cost < cheapest
                && let Some(place) = self.choices.get_mut(len)
            {
                (cheapest, *place) = (choice.cost, choice);
                len += 1;
            }
        }
        self.len = len;
    }

    /// First `a`, then `overhead` seconds later `b`.
    pub(super) fn series(&mut self, a: &Self, b: &Self, overhead: f64, slack: f64) {
        let shortest = a.shortest() + overhead + b.shortest();
        self.combine(a, b, shortest, slack, |x, y| x + overhead + y);
    }

    /// `a` and `b` at the same time.
    pub(super) fn parallel(&mut self, a: &Self, b: &Self, slack: f64) {
        self.combine(a, b, a.shortest().max(b.shortest()), slack, f64::max);
    }

    fn combine(&mut self, a: &Self, b: &Self, shortest: f64, slack: f64, duration: impl Fn(f64, f64) -> f64) {
        let pairs = a.choices().iter().enumerate().flat_map(|(i, x)| {
            let duration = &duration;
            b.choices().iter().enumerate().map(move |(j, y)| Choice {
                duration: duration(x.duration, y.duration),
                cost: x.cost + y.cost,
                first: i as u16,
                second: j as u16,
            })
        });
        self.fill(shortest, shortest + slack, pairs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(points: &[(f64, f64)]) -> Front {
        let mut front = Front::new();
        let choice = |(i, &(duration, cost))| Choice { duration, cost, first: i as u16, second: 0 };
        front.fill(1.0, 10.0, points.iter().enumerate().map(choice));
        front
    }

    #[test]
    fn dominated_and_late_points_are_dropped() {
        let front = front(&[(3.0, 1.0), (1.0, 5.0), (2.0, 6.0), (10.5, 0.1), (f64::NAN, 0.0), (4.0, 1.0)]);
        let kept: std::vec::Vec<_> = front.choices().iter().map(|c| (c.duration, c.cost, c.first)).collect();
        assert_eq!(kept, [(1.0, 5.0, 1), (3.0, 1.0, 0)]);
    }

    #[test]
    fn sums_and_maxima_by_hand() {
        let (a, b) = (front(&[(1.0, 5.0), (3.0, 1.0)]), front(&[(2.0, 4.0), (4.0, 2.0)]));
        let pairs =
            |f: &Front| f.choices().iter().map(|c| (c.duration, c.cost)).collect::<std::vec::Vec<_>>();
        let mut c = Front::new();
        c.series(&a, &b, 0.5, 10.0);
        assert_eq!(pairs(&c), [(3.5, 9.0), (5.5, 5.0), (7.5, 3.0)]);
        c.series(&a, &b, 0.5, 2.5);
        assert_eq!(pairs(&c), [(3.5, 9.0), (5.5, 5.0)]);
        c.parallel(&a, &b, 10.0);
        assert_eq!(pairs(&c), [(2.0, 9.0), (3.0, 5.0), (4.0, 3.0)]);
    }
}
