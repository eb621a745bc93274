//! From data to places on the paper, and the ticks between.

use super::grouped;

/// How values of an axis are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Equal distances for equal differences.
    Linear,
    /// Equal distances for equal ratios; values must be positive.
    Logarithmic,
}

/// A stretch of values mapped to a stretch of paper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    spacing: Spacing,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Map `low..high` to `from..to`; an empty or unusable stretch of values becomes one that is not.
    pub(super) fn new(spacing: Spacing, (low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let (low, high) = match spacing {
            _ if !(low.is_finite() && high.is_finite()) => (1.0, 10.0),
            Spacing::Logarithmic if low <= 0.0 || high <= low => {
                let high = if high > 0.0 { high } else { 1.0 };
                (high / 10.0, high)
            }
            Spacing::Linear if high <= low => (low, low + 1.0),
            _ => (low, high),
        };
        Self { spacing, low, high, from, to }
    }

    /// Where `value` is; values outside are held at the ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.spacing {
            Spacing::Linear => (value - self.low) / (self.high - self.low),
            Spacing::Logarithmic => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// About `number` round values inside.
    pub(super) fn ticks(&self, number: usize) -> Vec<f64> {
        match self.spacing {
            Spacing::Linear => self.equal_ticks(number),
            Spacing::Logarithmic => {
                let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
                let inside = |value: &f64| *value >= self.low * 0.999 && *value <= self.high * 1.001;
                let all = |steps: &[f64]| -> Vec<f64> {
                    let decades = decades.clone().map(|d| 10f64.powi(d));
                    decades
                        .flat_map(|decade| steps.iter().map(move |step| step * decade))
                        .filter(inside)
                        .collect()
                };
                let fine = all(&[1.0, 2.0, 5.0]);
                match fine.len() {
                    // Within a decade equal differences are no worse to read than equal ratios.
                    0..=2 => self.equal_ticks(number),
                    few if few <= number + 2 => fine,
                    _ => Some(all(&[1.0, 3.0]))
                        .filter(|few| few.len() <= number + 2)
                        .unwrap_or_else(|| all(&[1.0])),
                }
            }
        }
    }

    fn equal_ticks(&self, number: usize) -> Vec<f64> {
        let step = round_step((self.high - self.low) / number.max(1) as f64);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|multiple| multiple as f64 * step).collect()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= step * 0.999).unwrap_or(power)
}

/// A tick as people write it: no more digits than it has.
pub(super) fn label(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.abs() >= 1000.0 && rounded.fract() == 0.0 {
        let sign = if rounded < 0.0 { "-" } else { "" };
        return format!("{sign}{}", grouped(rounded.abs() as u64));
    }
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let linear = Scale::new(Spacing::Linear, (0.0, 23.0), (0.0, 100.0));
        assert_eq!(linear.ticks(5), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(linear.place(11.5), 50.0);
        let texts = |low, high| -> Vec<String> {
            Scale::new(Spacing::Logarithmic, (low, high), (0.0, 1.0))
                .ticks(5)
                .into_iter()
                .map(label)
                .collect()
        };
        assert_eq!(texts(0.31, 0.49), ["0.35", "0.4", "0.45"]);
        assert_eq!(texts(0.6, 4.9), ["1", "2", "3", "4"]);
        assert_eq!(texts(0.2, 50.0), ["0.3", "1", "3", "10", "30"]);
        let log = Scale::new(Spacing::Logarithmic, (0.1, 10.0), (100.0, 0.0));
        assert_eq!(log.ticks(5).len(), 7);
        assert!((log.place(1.0) - 50.0).abs() < 1e-9);
        assert_eq!(log.place(0.0), 100.0);
    }

    #[test]
    fn unusable_stretches_still_give_places() {
        for (low, high) in [(3.0, 3.0), (f64::NAN, 1.0), (0.0, 0.0), (5.0, -5.0)] {
            for spacing in [Spacing::Linear, Spacing::Logarithmic] {
                let scale = Scale::new(spacing, (low, high), (0.0, 100.0));
                assert!((0.0..=100.0).contains(&scale.place(2.0)), "{low} {high} {spacing:?}");
                assert!(scale.ticks(5).len() < 20);
            }
        }
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [label(1234567.0), label(0.5), label(-2000.0), label(0.30000000000000004)],
            ["1,234,567", "0.5", "-2,000", "0.3"]
        );
    }
}
