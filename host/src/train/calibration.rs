//! How wide the hybrid model's predictive distribution should be, from the end of the training part.
//!
//! Two numbers ([`Calibration`]): a factor of the quantiles' distances from the median, and the weight of the model's own
//! doubt. The stochastic passes of every validation sample are run once; every pair of a grid is then scored by the mean
//! pinball loss of the whole distribution, which a distribution too narrow loses as surely as one too wide.

use aquatope_core::forecast::LEVELS;
use aquatope_core::forecast::hybrid::{HybridInput, HybridModel};
use aquatope_core::forecast::mc_dropout::{Calibration, QuantilePasses};
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::hybrid::{Data, WINDOW};
use super::samples::Samples;
use crate::forecast::models::PASSES;

/// Steps of the grid. The loss is flat about its least: finer steps change it by less than another seed does.
const NOISE: [f32; 9] = [0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5];
const DOUBT: [f32; 7] = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// The stochastic passes of `model`, which takes standardised input, for the validation samples `rows` of `data`: as many
/// passes as in service.
pub(super) fn passes(model: &HybridModel<'_>, data: &Data, rows: &[u32], seed: u64) -> Vec<QuantilePasses> {
    let samples = &data.valid;
    let externals = model.shape().recipe.externals();
    let mut scratch = vec![0.0; model.scratch_len()];
    let passes = rows.iter().map(|&row| {
        let (function, minute) = samples.place(row);
        let anchor = &samples.anchors[row as usize];
        let input = HybridInput {
            sequence: data.sequences.before(function, minute, WINDOW),
            external: &samples.externals[row as usize * externals..][..externals],
            experts: &anchor.experts,
            unit: anchor.unit,
        };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ u64::from(row) << 32);
        // Lengths fit and counts are finite, so there is always an answer.
        model.passes(&input, PASSES, &mut rng, &mut scratch).unwrap_or_default()
    });
    passes.collect()
}

/// The pair of the grid with the lowest loss on `samples`; [`Calibration::NONE`] without any.
pub(super) fn fit(passes: &[QuantilePasses], samples: &Samples) -> Calibration {
    let loss = |calibration: Calibration| -> f64 {
        let rows = passes.iter().zip(&samples.peaks).zip(&samples.anchors);
        rows.map(|((passes, &peak), anchor)| {
            let (quantiles, _) = passes.predictive(calibration);
            let losses = quantiles.iter().zip(LEVELS).map(|(quantile, level)| {
                let error = peak - quantile.max(0.0);
                f64::from((level * error).max((level - 1.0) * error))
            });
            f64::from(anchor.weight) * losses.sum::<f64>()
        })
        .sum()
    };
    let mut best = (loss(Calibration::NONE), Calibration::NONE);
    for noise in NOISE {
        for doubt in DOUBT {
            let calibration = Calibration { noise, doubt };
            let loss = loss(calibration);
            if loss < best.0 {
                best = (loss, calibration);
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::samples::Anchor;
    use aquatope_core::forecast::MEDIAN;
    use aquatope_core::forecast::features::EXPERTS;
    use aquatope_core::math::normal;
    use aquatope_core::random;

    /// Peaks that are normal about 100 with deviation 10, forecast with the deviation `stated`.
    fn fitted(stated: f32) -> Calibration {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let anchor = Anchor { experts: [0.0; EXPERTS], unit: 1.0, weight: 1.0 };
        let peaks: Vec<f32> =
            (0..4000).map(|_| 100.0 + 10.0 * random::standard_normal(&mut rng) as f32).collect();
        let quantiles = LEVELS.map(|level| 100.0 + stated * normal::quantile(f64::from(level)) as f32);
        assert_eq!(quantiles[MEDIAN], 100.0);
        let mut passes = QuantilePasses::default();
        (0..3).for_each(|_| passes.push(&quantiles));
        let samples = Samples { anchors: vec![anchor; peaks.len()], peaks, ..Samples::default() };
        fit(&vec![passes; 4000], &samples)
    }

    #[test]
    fn a_distribution_too_narrow_is_widened_and_one_too_wide_narrowed() {
        assert!((fitted(10.0).noise - 1.0).abs() < 0.11);
        assert!((fitted(8.0).noise - 1.25).abs() < 0.16);
        assert!((fitted(12.5).noise - 0.8).abs() < 0.11);
    }

    #[test]
    fn doubt_that_the_errors_bear_out_is_counted() {
        // Passes differ by a shift of deviation 10 while the noise they state is next to none.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let anchor = Anchor { experts: [0.0; EXPERTS], unit: 1.0, weight: 1.0 };
        let mut passes = QuantilePasses::default();
        for shift in [-10.0, 10.0] {
            let level = |level: f32| 100.0 + shift + normal::quantile(f64::from(level)) as f32;
            passes.push(&LEVELS.map(level));
        }
        let peaks: Vec<f32> =
            (0..4000).map(|_| 100.0 + 10.0 * random::standard_normal(&mut rng) as f32).collect();
        let samples = Samples { anchors: vec![anchor; peaks.len()], peaks, ..Samples::default() };
        let calibration = fit(&vec![passes; 4000], &samples);
        assert_eq!(calibration.doubt, 1.0);
    }
}
