//! Golden values from SciPy, mpmath, GPyTorch and BoTorch (fixtures/golden/bo), each with its tolerance.

use aquatope_core::bo::acquisition::{Acquisition, Improvement, MAX_JOINT};
use aquatope_core::gp::kernel::{matern52, matern52_with_slope};
use aquatope_core::gp::{FitOptions, Gp, GpScratch, Hyperparameters, Noise, Prior};
use aquatope_core::math::normal::{self, Normal};
use aquatope_core::sobol::Dimension;
use serde_json::Value;
use std::path::Path;

const N: usize = 72;
const D: usize = 20;

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden/bo").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

fn cases(golden: &Value) -> &[Value] {
    golden["cases"].as_array().unwrap()
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found} instead of {expected}");
}

/// A process with the observations of a case, of the given outcomes and noise variances.
fn process(x: &[Vec<f64>], y: &[f64], noise: &[f64]) -> Box<Gp<N, D>> {
    let mut gp = Box::new(Gp::new());
    gp.reset(x[0].len()).unwrap();
    for ((x, &y), &noise) in x.iter().zip(y).zip(noise) {
        gp.push(x, y, noise).unwrap();
    }
    gp
}

fn hyperparameters(case: &Value) -> Hyperparameters<D> {
    Hyperparameters {
        lengthscales: numbers(&case["lengthscale"]).into_iter().collect(),
        outputscale: number(&case["outputscale"]),
        mean: number(&case["mean_const"]),
        noise: 1.0,
    }
}

#[test]
fn sobol_points_are_exact() {
    let golden = golden("sobol.json");
    let dimensions: Vec<Dimension> = (0..64).map(|j| Dimension::new(j).unwrap()).collect();
    for (i, row) in rows(&golden["points256"]).iter().enumerate() {
        for (dimension, &expected) in dimensions.iter().zip(row) {
            assert_eq!(f64::from(dimension.bits(i as u32)) / 16_777_216.0, expected);
        }
    }
    for stretch in golden["tail"].as_array().unwrap() {
        let first = stretch["first_index"].as_u64().unwrap() as u32;
        for (i, row) in rows(&stretch["num_2_30"]).iter().enumerate() {
            for (dimension, &expected) in dimensions.iter().zip(row) {
                assert_eq!(f64::from(dimension.bits(first + i as u32)) / 4.0, expected);
            }
        }
    }
    for (u, z) in numbers(&golden["ndtri"]["u"]).into_iter().zip(numbers(&golden["ndtri"]["z"])) {
        assert_close(normal::quantile(u), z, 1e-14 * z.abs().max(1.0), &format!("quantile({u})"));
    }
}

#[test]
fn probability_of_feasibility_matches_60_digits() {
    for case in golden("analytic.json")["feasibility"].as_array().unwrap() {
        let [mean, sigma, threshold, expected] =
            ["mu", "sigma", "threshold", "probability"].map(|key| number(&case[key]));
        let found = Normal { mean, variance: sigma * sigma }.cdf(threshold);
        assert_close(found, expected, 1e-12 * expected, &case.to_string());
    }
}

#[test]
fn matern52_matches_40_digits() {
    for case in cases(&golden("matern52.json")) {
        let (x, y, k) = (rows(&case["X"]), rows(&case["Y"]), rows(&case["K"]));
        let (lengthscales, outputscale) = (numbers(&case["lengthscale"]), number(&case["outputscale"]));
        for i in 0..x.len() {
            for j in 0..y.len() {
                let scaled: Vec<f64> =
                    (0..lengthscales.len()).map(|u| (x[i][u] - y[j][u]) / lengthscales[u]).collect();
                let r2 = scaled.iter().map(|t| t * t).sum();
                let (value, slope) = matern52_with_slope(r2);
                assert_eq!(value, matern52(r2));
                assert_close(outputscale * value, k[i][j], 1e-14, "kernel");
                for (u, t) in scaled.iter().enumerate() {
                    let dx = number(&case["dK_dx"][i][j][u]);
                    assert_close(-outputscale * slope * t / lengthscales[u], dx, 1e-13, "slope in x");
                    let dls = number(&case["dK_dlogls"][i][j][u]);
                    assert_close(outputscale * slope * t * t, dls, 1e-13, "slope in ln lengthscale");
                }
            }
        }
    }
}

#[test]
fn posterior_matches_50_digits_and_dense_solves() {
    for case in cases(&golden("gp_posterior.json")) {
        let mut gp = process(&rows(&case["X"]), &numbers(&case["y"]), &numbers(&case["noise_var"]));
        gp.set_hyperparameters(hyperparameters(case)).unwrap();
        let (points, n) = (rows(&case["Xs"]), gp.len());
        let (mut mean, mut covariance) = (vec![0.0; points.len()], vec![0.0; points.len() * points.len()]);
        let mut work = vec![0.0; points.len() * n];
        gp.joint_posterior(&points.concat(), &mut mean, &mut covariance, &mut work).unwrap();
        for (i, x) in points.iter().enumerate() {
            let single = gp.posterior(x).unwrap();
            assert_close(mean[i], number(&case["post_mean"][i]), 1e-10, "mean");
            assert_close(single.mean, mean[i], 1e-12, "single mean");
            assert_close(single.variance, covariance[i * points.len() + i], 1e-12, "single variance");
            for j in 0..points.len() {
                assert_close(
                    covariance[i * points.len() + j],
                    number(&case["post_cov"][i][j]),
                    1e-10,
                    "covariance",
                );
            }
        }
        let ln_determinant: f64 = (0..n).map(|k| 2.0 * gp.factor()[k * N + k].ln()).sum();
        assert_close(ln_determinant, number(&case["logdet_K"]), 1e-10, "ln determinant");
    }
}

#[test]
fn marginal_likelihood_and_gradient_match_autograd() {
    let mut scratch = Box::new(GpScratch::<N, D>::new());
    for case in cases(&golden("mll.json")) {
        let (x, y, known) = (rows(&case["X"]), numbers(&case["y"]), numbers(&case["noise_var"]));
        let d = x[0].len();
        for eval in case["evals"].as_array().unwrap() {
            let theta = numbers(&eval["theta"]);
            let mut gp = process(&x, &y, &known);
            gp.set_hyperparameters(Hyperparameters {
                lengthscales: theta[..d].iter().map(|t| t.exp()).collect(),
                outputscale: theta[d].exp(),
                mean: theta[d + 1],
                noise: theta[d + 2].exp(),
            })
            .unwrap();
            let noise = if eval["noise"] == "fixed" { Noise::Known } else { Noise::Inferred };
            let prior = eval["gamma_priors"].as_bool().unwrap().then_some(Prior::Gamma);
            let mut gradient = vec![0.0; d + 3];
            let value = gp
                .log_marginal_likelihood(prior, noise, &mut gradient, &mut scratch, &mut [[0.0; N]; N])
                .unwrap();
            let expected = number(&eval["value"]);
            assert_close(value, expected, 1e-9 * expected.abs(), "log marginal likelihood");
            for (found, expected) in gradient.iter().zip(numbers(&eval["grad"])) {
                assert_close(*found, expected, 1e-7 * expected.abs().max(1.0), "gradient");
            }
        }
    }
}

/// The slope of the dimension-scaled prior, by finite differences.
#[test]
fn gradient_with_the_dimension_scaled_prior() {
    let golden = golden("mll.json");
    let case = &cases(&golden)[0];
    let (x, y, known) = (rows(&case["X"]), numbers(&case["y"]), numbers(&case["noise_var"]));
    let mut scratch = Box::new(GpScratch::<N, D>::new());
    let mut evaluate = |theta: &[f64; 5], gradient: &mut [f64]| {
        let mut gp = process(&x, &y, &known);
        gp.set_hyperparameters(Hyperparameters {
            lengthscales: theta[..2].iter().map(|t| t.exp()).collect(),
            outputscale: 1.0,
            mean: theta[3],
            noise: theta[4].exp(),
        })
        .unwrap();
        let (prior, mut slopes) = (Some(Prior::DimensionScaled), [[0.0; N]; N]);
        gp.log_marginal_likelihood(prior, Noise::Inferred, gradient, &mut scratch, &mut slopes).unwrap()
    };
    let theta = [-0.4, 0.3, 0.0, 0.1, -2.0];
    let mut gradient = [0.0; 5];
    evaluate(&theta, &mut gradient);
    for u in [0, 1, 3, 4] {
        let (mut above, mut below) = (theta, theta);
        above[u] += 1e-5;
        below[u] -= 1e-5;
        let slope = (evaluate(&above, &mut [0.0; 5]) - evaluate(&below, &mut [0.0; 5])) / 2e-5;
        assert_close(gradient[u], slope, 1e-6, "slope");
    }
}

#[test]
fn fits_reach_the_value_of_botorch() {
    let mut scratch = Box::new(GpScratch::<N, D>::new());
    for case in cases(&golden("fit.json")) {
        let (x, y) = (rows(&case["X"]), numbers(&case["y"]));
        let mut gp = process(&x, &y, &vec![number(&case["noise_var"]); y.len()]);
        for fit in case["fits"].as_array().unwrap() {
            let noise = if fit["noise"] == "fixed" { Noise::Known } else { Noise::Inferred };
            let options = FitOptions { prior: Prior::Gamma, noise, start: None };
            let found = gp.fit(&options, &mut scratch).unwrap();
            let what = format!("{} n = {} {noise:?} {found:?}", case["workflow"], y.len());
            assert!(found.log_posterior >= number(&fit["botorch_value"]) - 1e-3, "{what}");
            assert!(found.evaluations < 100, "{what}");
            let again = FitOptions { start: Some(&gp.hyperparameters().clone()), ..options };
            let warm = gp.fit(&again, &mut scratch).unwrap();
            assert!(warm.log_posterior >= found.log_posterior - 1e-6, "{what} then {warm:?}");
            assert!(warm.evaluations < found.evaluations, "{what} then {warm:?}");
        }
    }
}

#[test]
fn leave_one_out_matches_n_refits() {
    let mut scratch = Box::new(GpScratch::<N, D>::new());
    for case in cases(&golden("loo.json")) {
        let y = numbers(&case["y"]);
        let mut gp = process(&rows(&case["X"]), &y, &numbers(&case["noise_var"]));
        gp.set_hyperparameters(hyperparameters(case)).unwrap();
        let mut out = vec![Normal::default(); y.len()];
        gp.leave_one_out(&mut out, &mut scratch);
        for (i, found) in out.iter().enumerate() {
            assert_close(found.mean, number(&case["loo_mean"][i]), 1e-9, "mean");
            assert_close(found.variance, number(&case["loo_var_y"][i]), 1e-9, "variance");
        }
    }
}

/// Constrained qLogNEI and qNEI with given base samples, values and gradients of BoTorch. Its own conditioning has a
/// jitter, so that 1e-6 is what can be asked.
#[test]
fn acquisition_values_and_gradients_match_botorch() {
    const S: usize = 32;
    let mut scratch = Box::new(GpScratch::<N, D>::new());
    let mut acquisition = Box::new(Acquisition::<N, D, S>::new());
    for case in cases(&golden("acquisition.json")) {
        let x = rows(&case["X"]);
        let (n, d, samples) = (x.len(), x[0].len(), case["S"].as_u64().unwrap() as usize);
        for (gp, model) in acquisition.processes_mut().unwrap().into_iter().zip([0, 1]) {
            let model = &case["models"][model];
            *gp = *process(&x, &numbers(&model["y"]), &numbers(&case["noise_var"]));
            gp.set_hyperparameters(hyperparameters(model)).unwrap();
        }
        let base_samples = ["base_samples_objective", "base_samples_constraint"].map(|key| rows(&case[key]));
        let baseline: Vec<usize> = (0..n).collect();
        for eval in case["evals"].as_array().unwrap() {
            let improvement = match eval["acq"].as_str().unwrap() {
                "qLogNEI" => Improvement::LogNei,
                "qNEI" => Improvement::Nei,
                other => panic!("{other} is not offered"),
            };
            let mut calls = 0;
            let mut normals = |point: usize, out: &mut [f64]| {
                let block = &base_samples[calls / (n + MAX_JOINT)];
                for (z, row) in out.iter_mut().zip(block) {
                    *z = row.get(point).copied().unwrap_or(0.0);
                }
                calls += 1;
            };
            acquisition.condition(improvement, samples, &baseline, &mut normals, &mut scratch).unwrap();
            for (found, expected) in acquisition.best().iter().zip(numbers(&case["best_f_per_sample"])) {
                assert_close(*found, expected, 1e-6, "best of a path");
            }
            let candidates = rows(&case["Xq"][eval["X_index"].as_u64().unwrap() as usize]).concat();
            let mut gradient = vec![0.0; candidates.len()];
            let value = acquisition.value_and_gradient(&candidates, &mut gradient);
            let expected = number(&eval["value"]);
            assert_close(
                value,
                expected,
                1e-6 * expected.abs().max(1e-6),
                &format!("{improvement:?} d = {d}"),
            );
            assert_eq!(value, acquisition.value(&candidates));
            let expected = rows(&eval["grad"]).concat();
            let largest = expected.iter().fold(1e-12, |a: f64, b| a.max(b.abs()));
            for (found, expected) in gradient.iter().zip(expected) {
                assert_close(*found, expected, 1e-5 * largest, "gradient");
            }
        }
    }
}
