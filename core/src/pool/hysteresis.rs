//! Growing at once, shrinking with patience.
//!
//! A container shut down and needed again a minute later pays its start twice, and some actuators (OpenWhisk's stem
//! cells) rebuild the whole pool at every change. So a target shrinks only after it was too high for some minutes in a
//! row, no further than the most any of them wanted, and by at most `step` a minute.
//!
//! Where a start is cheap and quick, patience only costs memory: in simulation every minute of it needs more memory for
//! the same cold starts. [`Hysteresis::NONE`] is therefore the default; patience is for actuators that make changes dear.

/// How a target may shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hysteresis {
    /// Minutes in a row that may want less before the target shrinks; 0: shrink at once.
    pub patience: u16,
    /// Most containers given up in one minute.
    pub step: u32,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self::NONE
    }
}

impl Hysteresis {
    /// Targets follow what is wanted.
    pub const NONE: Self = Self { patience: 0, step: u32::MAX };
}

/// The state of one function's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Damper {
    target: u32,
    /// Minutes in a row that wanted less, and the most they wanted.
    below: u16,
    most: u32,
}

impl Damper {
    /// The target after a minute that wants `wanted` containers. Work: O(1).
    pub fn next(&mut self, wanted: u32, hysteresis: Hysteresis) -> u32 {
        if wanted >= self.target {
            *self = Self { target: wanted, below: 0, most: 0 };
            return wanted;
        }
        self.most = self.most.max(wanted);
        if self.below < hysteresis.patience {
            self.below += 1;
        } else {
            let target = self.most.max(self.target.saturating_sub(hysteresis.step));
            *self = Self { target, below: 0, most: 0 };
        }
        self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(hysteresis: Hysteresis, wanted: [u32; 9]) -> [u32; 9] {
        let mut damper = Damper::default();
        wanted.map(|wanted| damper.next(wanted, hysteresis))
    }

    #[test]
    fn by_hand() {
        let wanted = [3, 9, 2, 5, 1, 1, 1, 0, 4];
        assert_eq!(run(Hysteresis::NONE, wanted), wanted);
        // Patient for two minutes: 2, 5, 1 want less than 9, the most is 5; then 1, 1, 0 want less than 5.
        assert_eq!(run(Hysteresis { patience: 2, step: u32::MAX }, wanted), [3, 9, 9, 9, 5, 5, 5, 1, 4]);
        assert_eq!(run(Hysteresis { patience: 0, step: 2 }, wanted), [3, 9, 7, 5, 3, 1, 1, 0, 4]);
    }
}
