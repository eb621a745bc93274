//! Observations that come and go, any hyper-parameters and fits: the posterior stays a distribution, and what was
//! appended and dropped row by row is what a factorisation of the whole gives.

use crate::input::{Operations, read};
use crate::number::Number;
use aquatope_core::gp::{FitOptions, Gp, GpScratch, Hyperparameters, Noise};
use aquatope_core::math::normal::Normal;
use arbitrary::Arbitrary;

const N: usize = 10;
const D: usize = 2;

#[derive(Arbitrary, Debug)]
enum Operation {
    /// An everyday observation, noise included.
    Everyday([u8; D], i8, u8),
    Condition([Number; D], Number, Number),
    /// The same again.
    Twice,
    Remove(u8),
    Set([Number; D], Number, Number),
    Fit {
        inferred: bool,
        warm: bool,
    },
    Ask([Number; D]),
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some(Operations(operations)) = read::<Operations<Operation>>(bytes) else { return };
    let mut gp: Box<Gp<N, D>> = Box::default();
    let mut scratch: Box<GpScratch<N, D>> = Box::default();
    gp.reset(D).expect("room for the inputs");
    let mut last = ([0.5; D], 1.0, 0.1);
    for operation in operations.into_iter().take(64) {
        match operation {
            Operation::Everyday(x, y, noise) => {
                last = (x.map(|x| f64::from(x) / 255.0), f64::from(y) / 16.0, f64::from(noise) / 64.0);
                condition(&mut gp, last);
            }
            Operation::Condition(x, y, noise) => {
                last = (x.map(Number::get), y.get(), noise.get());
                condition(&mut gp, last);
            }
            Operation::Twice => condition(&mut gp, last),
            Operation::Remove(index) => {
                let count = gp.len();
                assert_eq!(gp.remove(usize::from(index)).is_ok(), usize::from(index) < count);
                // A process whose last observation went keeps nothing of it.
                assert_eq!(gp.len(), count - usize::from(usize::from(index) < count));
            }
            Operation::Set(lengthscales, outputscale, mean) => {
                let lengthscales = lengthscales.iter().map(|l| l.get()).collect();
                let given = Hyperparameters {
                    lengthscales,
                    outputscale: outputscale.get(),
                    mean: mean.get(),
                    noise: 1.0,
                };
                let mut other = gp.clone();
                if other.set_hyperparameters(given).is_ok() {
                    gp = other;
                }
            }
            Operation::Fit { inferred, warm } => {
                let noise = if inferred { Noise::Inferred } else { Noise::Known };
                let before = gp.hyperparameters().clone();
                let start = warm.then_some(&before);
                let mut other = gp.clone();
                if let Ok(fit) =
                    other.fit(&FitOptions { noise, start, ..FitOptions::default() }, &mut scratch)
                {
                    assert!(fit.evaluations <= 200 && !fit.log_posterior.is_nan(), "{fit:?}");
                    let Hyperparameters { lengthscales, outputscale, mean, noise } = other.hyperparameters();
                    assert!(
                        lengthscales.iter().chain([outputscale, noise]).all(|x| x.is_finite() && *x > 0.0)
                    );
                    assert!(mean.is_finite());
                    gp = other;
                }
            }
            Operation::Ask(x) => check_posterior(&gp, x.map(Number::get)),
        }
        if gp.is_empty() {
            continue;
        }
        check_posterior(&gp, last.0);
        check_posterior(&gp, [0.25; D]);
        check_refit(&gp);
    }
    if !gp.is_empty() {
        let mut out = [Normal::default(); N];
        gp.leave_one_out(&mut out, &mut scratch);
        assert!(out[..gp.len()].iter().all(|normal| normal.variance > 0.0), "{out:?}");
    }
}

fn condition(gp: &mut Gp<N, D>, (x, y, noise): ([f64; D], f64, f64)) {
    let before = gp.clone();
    if gp.condition(&x, y, noise).is_err() {
        assert_eq!(gp.targets(), before.targets());
        assert_eq!(
            gp.posterior(&[0.5; D]),
            before.posterior(&[0.5; D]),
            "a refused observation changed something"
        );
    }
}

fn check_posterior(gp: &Gp<N, D>, x: [f64; D]) {
    let Ok(Normal { mean, variance }) = gp.posterior(&x) else { panic!("as many inputs as there are") };
    if x.iter().any(|x| x.abs() > 1e100 || x.is_nan()) {
        return;
    }
    let prior = gp.hyperparameters().outputscale;
    assert!((0.0..=prior * (1.0 + 1e-9)).contains(&variance), "variance {variance} of {prior}");
    assert!(mean.is_finite(), "mean {mean} of {gp:?}");
    assert_eq!(gp.mean(&x).to_bits(), mean.to_bits());
}

/// Where the noise keeps the covariance matrix well conditioned, the factor grown row by row gives what that of the
/// whole gives.
fn check_refit(gp: &Gp<N, D>) {
    let outputscale = gp.hyperparameters().outputscale;
    // What a fit infers may be beyond what can be given.
    if !(1e-100..=1e100).contains(&outputscale) {
        return;
    }
    let noisy = |noise: &f64| (1e-4 * outputscale..=1e4 * outputscale).contains(noise) && *noise <= 1e100;
    if gp.jitter() > 0.0 || !gp.noise().iter().all(noisy) {
        return;
    }
    let mut whole: Box<Gp<N, D>> = Box::default();
    whole.reset(D).expect("room for the inputs");
    for at in 0..gp.len() {
        let x: [f64; D] = core::array::from_fn(|dimension| gp.input(dimension)[at]);
        whole.push(&x, gp.targets()[at], gp.noise()[at]).expect("it was taken before");
    }
    whole.set_hyperparameters(gp.hyperparameters().clone()).expect("noise makes it positive definite");
    let largest = gp.targets().iter().map(|y| (y - gp.hyperparameters().mean).abs()).fold(0.0, f64::max);
    for x in [[0.0; D], [0.3; D], [1.0; D]] {
        let (one, other) = (gp.posterior(&x).expect("two inputs"), whole.posterior(&x).expect("two inputs"));
        assert!((one.mean - other.mean).abs() <= 1e-6 * largest, "{one:?} {other:?}");
        assert!((one.variance - other.variance).abs() <= 1e-7 * outputscale, "{one:?} {other:?}");
    }
}
