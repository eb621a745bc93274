//! Bounded limited-memory BFGS: minimises a smooth function in a box.
//!
//! The two-loop recursion (Nocedal, "Updating quasi-Newton matrices with limited storage", Math. Comp. 35, 1980) on
//! the variables that are not held at a bound, and a line search along the projected path: backtracking until the
//! value falls enough, and doubling while the slope stays steep (the weak Wolfe conditions; Lewis and Overton,
//! "Nonsmooth optimization via quasi-Newton methods", Math. Program. 141, 2013, show that they suffice at kinks).

use super::vector::{axpy, dot};
use crate::part::Part;

/// Correction pairs kept.
const MEMORY: usize = 8;
/// Sufficient decrease (c1) and curvature (c2) of the Wolfe conditions.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Evaluations of one line search.
const MAX_STEPS: usize = 20;

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stop {
    /// Evaluations of value and gradient, in all.
    pub(crate) evaluations: usize,
    /// Decrease in one iteration, relative to the larger of |f| and 1.
    pub(crate) decrease: f64,
    /// Largest component of the projected gradient.
    pub(crate) gradient: f64,
}

/// What was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Minimum {
    /// The value at the point that `x` was left at.
    pub(crate) value: f64,
    /// Evaluations used.
    pub(crate) evaluations: usize,
}

/// The memory of the method for functions of at most `D` times `Q` variables: 22 numbers per variable.
#[derive(Clone, Debug)]
pub(crate) struct Lbfgs<const D: usize, const Q: usize> {
    steps: [[[f64; D]; Q]; MEMORY],
    changes: [[[f64; D]; Q]; MEMORY],
    /// 1 / (step . change) of every pair.
    inverse_curvature: [f64; MEMORY],
    gradient: [[f64; D]; Q],
    direction: [[f64; D]; Q],
    trial: [[f64; D]; Q],
    trial_gradient: [[f64; D]; Q],
    next: [[f64; D]; Q],
    next_gradient: [[f64; D]; Q],
}

impl<const D: usize, const Q: usize> Default for Lbfgs<D, Q> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const D: usize, const Q: usize> Lbfgs<D, Q> {
    /// Empty memory.
    pub(crate) const fn new() -> Self {
        Self {
            steps: [[[0.0; D]; Q]; MEMORY],
            changes: [[[0.0; D]; Q]; MEMORY],
            inverse_curvature: [0.0; MEMORY],
            gradient: [[0.0; D]; Q],
            direction: [[0.0; D]; Q],
            trial: [[0.0; D]; Q],
            trial_gradient: [[0.0; D]; Q],
            next: [[0.0; D]; Q],
            next_gradient: [[0.0; D]; Q],
        }
    }

    /// Minimises `f` from `x` in the box `lower..=upper` (all three of one length, at most `D` times `Q`; further
    /// variables are left alone). `f` returns its value and writes its gradient; a value that is not finite counts
    /// as a step too far. `x` is left at the best point found.
    pub(crate) fn minimise(
        &mut self,
        x: &mut [f64],
        lower: &[f64],
        upper: &[f64],
        stop: Stop,
        mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
    ) -> Minimum {
        let n = x.len().min(lower.len()).min(upper.len()).min(D * Q);
        let (x, lower, upper) = (&mut x[..n], &lower[..n], &upper[..n]);
        let gradient = &mut self.gradient.as_flattened_mut()[..n];
        let direction = &mut self.direction.as_flattened_mut()[..n];
        let trial = &mut self.trial.as_flattened_mut()[..n];
        let trial_gradient = &mut self.trial_gradient.as_flattened_mut()[..n];
        let next = &mut self.next.as_flattened_mut()[..n];
        let next_gradient = &mut self.next_gradient.as_flattened_mut()[..n];
        for (x, (&l, &u)) in x.iter_mut().zip(lower.iter().zip(upper)) {
            *x = x.max(l).min(u);
        }
        let mut value = f(x, gradient);
        let mut evaluations = 1;
        let mut pairs = 0;
        while value.is_finite() && evaluations < stop.evaluations {
            let held =
                |i: usize, x: &[f64], g: f64| (x[i] <= lower[i] && g > 0.0) || (x[i] >= upper[i] && g < 0.0);
            let steepest = (0..n)
                .map(|i| (x[i] - (x[i] - gradient[i]).max(lower[i]).min(upper[i])).abs())
                .fold(0.0, f64::max);
            if steepest <= stop.gradient {
                break;
            }
            for i in 0..n {
                direction[i] = if held(i, x, gradient[i]) { 0.0 } else { -gradient[i] };
            }
            apply_inverse_hessian(direction, pairs, &self.steps, &self.changes, &self.inverse_curvature);
            for i in 0..n {
                if held(i, x, gradient[i]) {
                    direction[i] = 0.0;
                }
            }
            let mut slope = dot(gradient, direction);
            if slope >= 0.0 || !slope.is_finite() {
                pairs = 0;
                for i in 0..n {
                    direction[i] = if held(i, x, gradient[i]) { 0.0 } else { -gradient[i] };
                }
                slope = dot(gradient, direction);
            }
            let mut step = 1.0;
            if pairs == 0 {
                // No idea of the scale yet: a quarter of the unit cube at most.
                let length = super::float::sqrt(dot(direction, direction));
                step = (0.25 / length).min(1.0);
            }
            let mut accepted = None;
            for _ in 0..MAX_STEPS.min(stop.evaluations - evaluations) {
                let mut predicted = 0.0;
                let mut clipped = false;
                for i in 0..n {
                    let free = x[i] + step * direction[i];
                    let bounded = free.max(lower[i]).min(upper[i]);
                    clipped |= bounded != free;
                    trial[i] = bounded;
                    predicted += gradient[i] * (bounded - x[i]);
                }
                let trial_value = f(trial, trial_gradient);
                evaluations += 1;
                if trial_value.is_finite() && trial_value <= value + DECREASE * predicted {
                    if accepted.is_some_and(|best| trial_value >= best) {
                        break;
                    }
                    accepted = Some(trial_value);
                    next.copy_from_slice(trial);
                    next_gradient.copy_from_slice(trial_gradient);
                    let flat = dot(trial_gradient, direction) >= CURVATURE * slope;
                    if flat || clipped {
                        break;
                    }
                    step *= 2.0;
                } else if accepted.is_some() {
                    break;
                } else {
                    // The minimum of the parabola through both values and the slope, kept well inside.
                    let parabola = -predicted / (2.0 * (trial_value - value - predicted));
                    step *= if parabola.is_finite() { parabola.clamp(0.1, 0.5) } else { 0.1 };
                }
            }
            let Some(next_value) = accepted else {
                if pairs == 0 {
                    break;
                }
                pairs = 0;
                continue;
            };
            let pair = pairs % MEMORY;
            let (step_vector, change) = (
                &mut self.steps[pair].as_flattened_mut()[..n],
                &mut self.changes[pair].as_flattened_mut()[..n],
            );
            for i in 0..n {
                step_vector[i] = next[i] - x[i];
                change[i] = next_gradient[i] - gradient[i];
            }
            let curvature = dot(step_vector, change);
            if curvature > 1e-10 * dot(change, change) {
                self.inverse_curvature[pair] = 1.0 / curvature;
                pairs += 1;
            }
            x.copy_from_slice(next);
            gradient.copy_from_slice(next_gradient);
            let decrease = value - next_value;
            value = next_value;
            if decrease <= stop.decrease * value.abs().max(1.0) {
                break;
            }
        }
        Minimum { value, evaluations }
    }
}

/// Multiplies `direction` by the inverse Hessian that the last pairs describe; leaves held variables (those with a zero
/// in it) to the caller.
fn apply_inverse_hessian<const D: usize, const Q: usize>(
    direction: &mut [f64],
    pairs: usize,
    steps: &[[[f64; D]; Q]; MEMORY],
    changes: &[[[f64; D]; Q]; MEMORY],
    inverse_curvature: &[f64; MEMORY],
) {
    let n = direction.len();
    let first = pairs.saturating_sub(MEMORY);
    let mut alphas = [0.0; MEMORY];
    for k in (first..pairs).rev() {
        let k = k % MEMORY;
        alphas[k] = inverse_curvature[k] * dot(steps[k].as_flattened().head(n), direction);
        axpy(direction, -alphas[k], changes[k].as_flattened().head(n));
    }
    if let Some(last) = pairs.checked_sub(1) {
        let last = last % MEMORY;
        let change = changes[last].as_flattened().head(n);
        let scale = 1.0 / (inverse_curvature[last] * dot(change, change));
        for x in direction.iter_mut() {
            *x *= scale;
        }
    }
    for k in first..pairs {
        let k = k % MEMORY;
        let beta = inverse_curvature[k] * dot(changes[k].as_flattened().head(n), direction);
        axpy(direction, alphas[k] - beta, steps[k].as_flattened().head(n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::vec;

    const STOP: Stop = Stop { evaluations: 500, decrease: 1e-15, gradient: 1e-9 };

    /// Rosenbrock's valley in pairs of variables.
    fn rosenbrock(x: &[f64], gradient: &mut [f64]) -> f64 {
        let mut value = 0.0;
        for (x, g) in x.chunks_exact(2).zip(gradient.chunks_exact_mut(2)) {
            let t = x[1] - x[0] * x[0];
            value += 100.0 * t * t + (1.0 - x[0]) * (1.0 - x[0]);
            g[0] = -400.0 * x[0] * t - 2.0 * (1.0 - x[0]);
            g[1] = 200.0 * t;
        }
        value
    }

    #[test]
    fn rosenbrock_inside_and_at_a_bound() {
        let mut lbfgs = Box::new(Lbfgs::<4, 1>::new());
        let mut x = vec![-1.2, 1.0, -0.5, 2.0];
        let minimum = lbfgs.minimise(&mut x, &[-2.0; 4], &[2.0; 4], STOP, rosenbrock);
        assert!(minimum.value < 1e-12 && x.iter().all(|x| (x - 1.0).abs() < 1e-5), "{minimum:?} {x:?}");
        assert!(minimum.evaluations < 150, "{minimum:?}");
        // With x0 <= 0.5 the minimum is at (0.5, 0.25).
        let mut x = vec![-1.2, 1.0];
        let minimum = lbfgs.minimise(&mut x, &[-2.0; 2], &[0.5, 2.0], STOP, rosenbrock);
        assert!((minimum.value - 0.25).abs() < 1e-10 && (x[1] - 0.25).abs() < 1e-6, "{minimum:?} {x:?}");
    }

    #[test]
    fn kinks_cliffs_and_hopeless_functions_end() {
        let mut lbfgs = Box::new(Lbfgs::<4, 1>::new());
        let mut x = vec![0.9, 0.2];
        let kink = |x: &[f64], g: &mut [f64]| {
            for i in 0..2 {
                g[i] = (x[i] - 0.3).signum();
            }
            (x[0] - 0.3).abs() + (x[1] - 0.3).abs()
        };
        let minimum = lbfgs.minimise(&mut x, &[0.0; 2], &[1.0; 2], STOP, kink);
        assert!(minimum.value < 1e-3, "{minimum:?}");
        let mut x = vec![0.5];
        let minimum = lbfgs.minimise(&mut x, &[0.0], &[1.0], STOP, |_, _| f64::NAN);
        assert_eq!(minimum.evaluations, 1);
        // Infinite left of 0.2.
        let cliff = |x: &[f64], g: &mut [f64]| {
            g[0] = 1.0;
            if x[0] < 0.2 { f64::INFINITY } else { x[0] }
        };
        let minimum = lbfgs.minimise(&mut x, &[0.0], &[1.0], STOP, cliff);
        assert!(minimum.value < 0.25 && minimum.evaluations < 200, "{minimum:?}");
        assert_eq!(lbfgs.minimise(&mut [], &[], &[], STOP, |_, _| 1.0).value, 1.0);
    }
}
