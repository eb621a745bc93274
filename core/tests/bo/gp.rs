use aquatope_core::gp::{FitOptions, Gp, GpError, GpScratch, Hyperparameters, Noise, Prior};
use aquatope_core::random::{SplitMix64, standard_normal, uniform};
use proptest::prelude::*;

const N: usize = 40;

fn process(points: &[[f64; 2]], y: impl Fn(&[f64; 2]) -> f64, noise: f64) -> Box<Gp<N, 2>> {
    let mut gp = Box::new(Gp::new());
    gp.reset(2).unwrap();
    for x in points {
        gp.push(x, y(x), noise).unwrap();
    }
    gp
}

fn hyperparameters() -> Hyperparameters<2> {
    Hyperparameters {
        lengthscales: [0.4, 0.9].into_iter().collect(),
        outputscale: 1.3,
        mean: 0.2,
        noise: 0.01,
    }
}

fn bowl(x: &[f64; 2]) -> f64 {
    (x[0] - 0.3) * (x[0] - 0.3) + 0.5 * x[1]
}

/// Duplicates without noise, points on a line, constant outcomes, a single observation: all can be fitted, with
/// every prior and noise model.
#[test]
fn degenerate_data_can_be_fitted() {
    let duplicated: Vec<[f64; 2]> = (0..30).map(|i| [f64::from(i % 3) / 2.0, 0.5]).collect();
    let line: Vec<[f64; 2]> = (0..20).map(|i| [f64::from(i) / 19.0; 2]).collect();
    let mut scratch = Box::new(GpScratch::new());
    for prior in [Prior::DimensionScaled, Prior::Gamma] {
        for noise in [Noise::Known, Noise::Inferred] {
            let options = FitOptions { prior, noise, start: None };
            for (points, constant) in
                [(&duplicated, false), (&line, false), (&line, true), (&line[..1].to_vec(), true)]
            {
                let y = |x: &[f64; 2]| if constant { 7.0 } else { bowl(x) };
                let mut gp = process(points, y, 0.0);
                let fit = gp.fit(&options, &mut scratch).unwrap();
                assert!(fit.log_posterior.is_finite());
                let at = gp.posterior(&points[0]).unwrap();
                assert!((at.mean - y(&points[0])).abs() < 0.05, "{prior:?} {noise:?} {at:?}");
                assert!(at.variance.is_finite());
            }
        }
    }
}

#[test]
fn what_cannot_be_observed_is_an_error_and_changes_nothing() {
    let mut gp = Box::new(Gp::<2, 2>::new());
    assert_eq!(gp.reset(3), Err(GpError::Capacity { capacity: 2 }));
    gp.reset(2).unwrap();
    assert_eq!(gp.set_hyperparameters(hyperparameters()), Err(GpError::Empty));
    assert_eq!(gp.push(&[0.0], 1.0, 0.1), Err(GpError::Length { expected: 2, found: 1 }));
    for (x, y, noise) in [(f64::NAN, 1.0, 0.1), (0.0, f64::INFINITY, 0.1), (0.0, 1.0, -0.1)] {
        assert_eq!(gp.push(&[x, 0.0], y, noise), Err(GpError::NotFinite { index: 0 }));
    }
    gp.push(&[0.0, 0.0], 1.0, 0.1).unwrap();
    gp.push(&[1.0, 0.0], 1.0, 0.1).unwrap();
    assert_eq!(gp.push(&[0.5, 0.0], 1.0, 0.1), Err(GpError::Capacity { capacity: 2 }));
    assert_eq!(gp.len(), 2);
    assert_eq!(gp.remove(2), Err(GpError::Length { expected: 2, found: 2 }));
}

/// The noise of repeated measurements is found, with a hundred observations of one function.
#[test]
fn inferred_noise_is_that_of_the_data() {
    let mut rng = SplitMix64(4);
    let mut gp = Box::new(Gp::<128, 2>::new());
    gp.reset(2).unwrap();
    for _ in 0..100 {
        let x = [uniform(&mut rng), uniform(&mut rng)];
        gp.push(&x, bowl(&x) + 0.1 * standard_normal(&mut rng), 0.0).unwrap();
    }
    let options = FitOptions { prior: Prior::DimensionScaled, noise: Noise::Inferred, start: None };
    gp.fit(&options, &mut Box::new(GpScratch::new())).unwrap();
    let deviation = gp.hyperparameters().noise.sqrt();
    assert!((0.08..0.12).contains(&deviation), "{deviation}");
}

proptest! {
    /// Conditioning and removing in any order gives the posterior of a process made of what is left.
    #[test]
    fn condition_and_remove_equal_a_fresh_process(
        points in proptest::collection::vec([0.0f64..1.0, 0.0..1.0], 3..30),
        removals in proptest::collection::vec(0usize..30, 0..10),
    ) {
        let mut gp = process(&points[..2], bowl, 0.01);
        gp.set_hyperparameters(hyperparameters()).unwrap();
        let mut kept = points[..2].to_vec();
        let mut removals = removals.into_iter();
        for x in &points[2..] {
            gp.condition(x, bowl(x), 0.01).unwrap();
            kept.push(*x);
            if let Some(index) = removals.next() {
                let index = index % kept.len();
                gp.remove(index).unwrap();
                kept.remove(index);
            }
        }
        let mut fresh = process(&kept, bowl, 0.01);
        fresh.set_hyperparameters(hyperparameters()).unwrap();
        for x in [[0.1, 0.9], [0.5, 0.5], kept[0]] {
            let (a, b) = (gp.posterior(&x).unwrap(), fresh.posterior(&x).unwrap());
            prop_assert!((a.mean - b.mean).abs() < 1e-9 && (a.variance - b.variance).abs() < 1e-9);
        }
    }
}
