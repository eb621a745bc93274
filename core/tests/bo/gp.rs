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
    let beyond = [(1e200, 1.0, 0.1), (0.0, -1e200, 0.1), (0.0, 1.0, 1e200)];
    for (x, y, noise) in
        [(f64::NAN, 1.0, 0.1), (0.0, f64::INFINITY, 0.1), (0.0, 1.0, -0.1)].into_iter().chain(beyond)
    {
        assert_eq!(gp.push(&[x, 0.0], y, noise), Err(GpError::NotFinite { index: 0 }));
    }
    assert!(gp.is_empty());
    gp.push(&[0.0, 0.0], 1.0, 0.1).unwrap();
    assert!(!gp.is_empty());
    gp.push(&[1.0, 0.0], 1.0, 0.1).unwrap();
    assert_eq!(gp.push(&[0.5, 0.0], 1.0, 0.1), Err(GpError::Capacity { capacity: 2 }));
    assert_eq!(gp.len(), 2);
    assert_eq!(gp.remove(2), Err(GpError::Length { expected: 2, found: 2 }));
    assert!(gp.input(2).is_empty());
}

/// Scales that leave no number of the covariance matrix usable, and points so far away that distances overflow.
#[test]
fn scales_must_be_positive_and_far_points_have_the_prior() {
    let mut gp = process(&[[0.1, 0.2], [0.7, 0.3]], bowl, 0.01);
    for bad in [0.0, -1.0, 1e-310, f64::NAN, f64::INFINITY] {
        let lengthscales = [bad, 1.0].into_iter().collect();
        let parameters = Hyperparameters { lengthscales, ..hyperparameters() };
        assert_eq!(gp.set_hyperparameters(parameters), Err(GpError::NotPositiveDefinite), "{bad}");
        let parameters = Hyperparameters { outputscale: bad, ..hyperparameters() };
        assert_eq!(gp.set_hyperparameters(parameters), Err(GpError::NotPositiveDefinite), "{bad}");
    }
    gp.set_hyperparameters(hyperparameters()).unwrap();
    for far in [1e30, 1e300, f64::INFINITY, f64::NAN] {
        let at = gp.posterior(&[far, 0.2]).unwrap();
        assert_eq!((at.mean, at.variance), (0.2, 1.3), "{far}");
    }
}

/// Length scales 1e12 apart, a hundred duplicated points, outcomes from 1e-12 to 1e12 and constant ones: every answer
/// is finite, variances are not negative, and the mean at an observed point lies among the outcomes.
#[test]
fn ill_conditioned_processes_stay_finite_and_sensible() {
    let mut rng = SplitMix64(9);
    let (mut gp, mut scratch) = (Box::new(Gp::<100, 3>::new()), Box::new(GpScratch::new()));
    for (unit, spread) in [(1e-12, 1.0), (1.0, 1.0), (1e12, 1.0), (1e12, 0.0), (1.0, 1e-9)] {
        for distinct in [1, 2, 5, 100] {
            let sites: Vec<[f64; 3]> = (0..distinct).map(|_| [(); 3].map(|()| uniform(&mut rng))).collect();
            gp.reset(3).unwrap();
            for i in 0..100 {
                gp.push(&sites[i % distinct], unit * (3.0 + spread * uniform(&mut rng)), 0.0).unwrap();
            }
            let (low, high) = (3.0 * unit, 4.0 * unit);
            let check = |gp: &Gp<100, 3>| {
                for x in sites.iter().chain(&[[0.0; 3], [1.0; 3], [1e6, -1e6, 0.5]]) {
                    let at = gp.posterior(x).unwrap();
                    assert!(at.mean.is_finite() && at.variance >= 0.0 && at.variance.is_finite(), "{at:?}");
                    let near = low - unit..=high + unit;
                    assert!(near.contains(&at.mean), "{unit} {spread} {distinct}: {at:?}");
                }
            };
            for prior in [Prior::DimensionScaled, Prior::Gamma] {
                for noise in [Noise::Known, Noise::Inferred] {
                    gp.fit(&FitOptions { prior, noise, start: None }, &mut scratch).unwrap();
                    check(&gp);
                }
            }
            let lengthscales = [1e-6, 1.0, 1e6].into_iter().collect();
            let outputscale = unit * unit;
            gp.set_hyperparameters(Hyperparameters {
                lengthscales,
                outputscale,
                mean: 3.5 * unit,
                noise: 0.0,
            })
            .unwrap();
            check(&gp);
        }
    }
}

/// Outcomes, noise and inputs below the least normal number: as if they were 0, never NaN.
#[test]
fn denormal_numbers_stay_finite_and_sensible() {
    let (mut gp, mut scratch) = (Box::new(Gp::<16, 2>::new()), Box::new(GpScratch::new()));
    for unit in [5e-324, 1e-310, f64::MIN_POSITIVE] {
        gp.reset(2).unwrap();
        for i in 0..12 {
            let x = [f64::from(i % 4) / 3.0, unit * f64::from(i)];
            gp.push(&x, unit * f64::from(i % 3), unit * f64::from(i % 2)).unwrap();
        }
        for prior in [Prior::DimensionScaled, Prior::Gamma] {
            for noise in [Noise::Known, Noise::Inferred] {
                gp.fit(&FitOptions { prior, noise, start: None }, &mut scratch).unwrap();
                for x in [[0.0, 0.0], [1.0, unit], [0.3, 1.0], [1e100, -1e100]] {
                    let at = gp.posterior(&x).unwrap();
                    assert!(at.variance >= 0.0 && at.variance.is_finite(), "{unit} {at:?}");
                    assert!((-1e-12..=1e-12).contains(&at.mean), "{unit} {at:?}");
                }
            }
        }
        gp.condition(&[unit, unit], unit, unit).unwrap();
        gp.remove(0).unwrap();
        assert!(gp.posterior(&[0.5, 0.5]).unwrap().mean.is_finite());
    }
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
