//! Feasible improvement of the paths, and its mean over them.
//!
//! - [`Improvement::Nei`]: constrained noisy expected improvement as in the paper, E[max over candidates of
//!   (f - best)₊ sigmoid(-g / eta)]. Its gradient vanishes where no path improves.
//! - [`Improvement::LogNei`]: its logarithm with fat-tailed smoothing, which has a gradient everywhere (Ament,
//!   Daulton, Eriksson, Balandat, Bakshy, "Unexpected improvements to expected improvement for Bayesian
//!   optimization", NeurIPS 2023, with the constants of BoTorch).

use crate::math::vector;

/// How improvement is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Improvement {
    /// The logarithm of the smoothed improvement (qLogNEI).
    #[default]
    LogNei,
    /// Improvement times smoothed feasibility (qNEI).
    Nei,
}

/// Width of the feasibility sigmoid, in the unit of the constraint.
const ETA: f64 = 1e-3;
/// Smoothing of the positive part, in the unit of the objective.
const TAU_RELU: f64 = 1e-6;
/// Smoothing of the maximum over candidates, in units of the logarithm.
const TAU_MAX: f64 = 1e-2;

impl Improvement {
    /// The acquisition value of `q` candidates: `objective` and `constraint` hold the values of `samples` paths, and
    /// afterwards the slopes of the acquisition in them; `best` is every path's best feasible baseline value.
    pub(super) fn value<const S: usize, const Q: usize>(
        self,
        q: usize,
        objective: &mut [[f64; S]; Q],
        constraint: &mut [[f64; S]; Q],
        best: &[f64; S],
        samples: usize,
    ) -> f64 {
        let (q, samples) = (q.min(Q), samples.min(S));
        match self {
            Self::LogNei => log_nei(q, objective, constraint, best, samples),
            Self::Nei => nei(q, objective, constraint, best, samples),
        }
    }
}

fn log_nei<const S: usize, const Q: usize>(
    q: usize,
    objective: &mut [[f64; S]; Q],
    constraint: &mut [[f64; S]; Q],
    best: &[f64; S],
    samples: usize,
) -> f64 {
    // The logarithm of smoothed improvement times smoothed feasibility, and its slopes.
    let mut logs = [[0.0; S]; Q];
    for j in 0..q {
        let terms = objective[j].iter_mut().zip(&mut constraint[j]).zip(best).zip(&mut logs[j]);
        for (((f, g), best), log) in terms.take(samples) {
            let u = (*f - best) * (1.0 / TAU_RELU);
            let t = vector::exp(-u.abs());
            let fat = 1.0 / (1.0 + u * u);
            let softplus = (if u > 0.0 { u } else { 0.0 }) + vector::ln(1.0 + t);
            let sigmoid = (if u > 0.0 { 1.0 } else { t }) / (1.0 + t);
            let improvement = softplus + 0.1 * fat;
            let v = *g * (-1.0 / ETA);
            let w = v.abs() + FATMOID;
            let tail = (2.0 / 3.0) / (1.0 + w * w);
            let feasibility = if v < 0.0 { tail } else { 1.0 - tail };
            *log = vector::ln(TAU_RELU * improvement * feasibility);
            *f = (sigmoid - 0.2 * u * fat * fat) / (improvement * TAU_RELU);
            *g = 3.0 * w * tail * tail / feasibility * (-1.0 / ETA);
        }
    }
    // The smoothed maximum over candidates, and its slopes: candidate after candidate, all paths at once.
    let logs = &mut logs[..q];
    let mut largest = [f64::NEG_INFINITY; S];
    for row in logs.iter() {
        for (largest, &log) in largest.iter_mut().zip(&row[..samples]) {
            *largest = if log > *largest { log } else { *largest };
        }
    }
    let (mut sums, mut others, mut maxima) = ([0.0; S], [0.0; S], [0.0; S]);
    for row in logs.iter_mut() {
        for s in 0..samples.min(S) {
            let x = (largest[s] - row[s]) * (1.0 / TAU_MAX);
            let density = 2.0 / (2.0 + 2.0 * x + x * x);
            sums[s] += density;
            let slope = density * density * (1.0 + x);
            let is_largest = if x > 0.0 { 0.0 } else { 1.0 };
            maxima[s] += is_largest;
            others[s] += slope * (1.0 - is_largest);
            row[s] = if x > 0.0 { slope } else { -1.0 };
        }
    }
    for row in logs.iter_mut() {
        for s in 0..samples.min(S) {
            row[s] = (if row[s] < 0.0 { (sums[s] - others[s]) / maxima[s] } else { row[s] }) / sums[s];
        }
    }
    let mut values = [0.0; S];
    for s in 0..samples.min(S) {
        values[s] = largest[s] + TAU_MAX * vector::ln(sums[s]);
    }
    // The logarithm of the mean over paths, and its slopes.
    let largest = values[..samples].iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let mut total = 0.0;
    for value in &mut values[..samples] {
        *value = vector::exp(*value - largest);
        total += *value;
    }
    let inverse = 1.0 / total;
    for j in 0..q {
        for s in 0..samples {
            let weight = values[s] * inverse * logs[j][s];
            objective[j][s] *= weight;
            constraint[j][s] *= weight;
        }
    }
    largest + vector::ln(total / samples as f64)
}

/// Where the two branches of the fat sigmoid meet with equal slopes: 1 / sqrt(3).
const FATMOID: f64 = 0.577_350_269_189_625_8;

fn nei<const S: usize, const Q: usize>(
    q: usize,
    objective: &mut [[f64; S]; Q],
    constraint: &mut [[f64; S]; Q],
    best: &[f64; S],
    samples: usize,
) -> f64 {
    let share = 1.0 / samples as f64;
    let mut total = 0.0;
    let (q, samples) = (q.min(Q), samples.min(S));
    for s in 0..samples {
        let (mut largest, mut winner, mut slopes) = (0.0, None, (0.0, 0.0));
        for j in 0..q {
            let improvement = objective[j][s] - best[s];
            let v = constraint[j][s] * (-1.0 / ETA);
            let t = vector::exp(-v.abs());
            let feasibility = (if v > 0.0 { 1.0 } else { t }) / (1.0 + t);
            let value = improvement * feasibility;
            if value > largest {
                let slope = improvement * feasibility * (1.0 - feasibility) * (-1.0 / ETA);
                (largest, winner, slopes) = (value, Some(j), (feasibility, slope));
            }
        }
        for j in 0..q {
            (objective[j][s], constraint[j][s]) = (0.0, 0.0);
        }
        if let Some((f, g)) = winner.and_then(|j: usize| objective.get_mut(j).zip(constraint.get_mut(j))) {
            (f[s], g[s]) = (slopes.0 * share, slopes.1 * share);
        }
        total += largest * share;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::vec::Vec;

    /// BoTorch's smoothing functions (fixtures/golden/bo/analytic.json).
    fn golden() -> Value {
        let text = include_str!("../../../../fixtures/golden/bo/analytic.json");
        let mut file: Value = serde_json::from_str(text).unwrap();
        file["special"].take()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    }

    /// qLogNEI of `Q` candidates on `S` paths, with the same constraint everywhere.
    fn log_nei_of<const Q: usize, const S: usize>(improvements: [[f64; S]; Q], constraint: f64) -> f64 {
        let (mut f, mut g) = (improvements, [[constraint; S]; Q]);
        Improvement::LogNei.value(Q, &mut f, &mut g, &[0.0; S], S)
    }

    /// The improvement whose logarithm, smoothed, is `log`, where the constraint is met by far.
    fn improvement_of(log: f64) -> f64 {
        let (mut below, mut above) = (-1.0, 2.0);
        loop {
            let middle = 0.5 * (below + above);
            if middle <= below || middle >= above {
                return middle;
            }
            *(if log_nei_of([[middle]], FEASIBLE) < log { &mut below } else { &mut above }) = middle;
        }
    }

    /// So far below the limit that the smoothed feasibility is 1.
    const FEASIBLE: f64 = -1e6;

    #[test]
    fn one_candidate_on_one_path_is_fatplus_times_fatmoid() {
        let golden = golden();
        let [x, plus, moid] = ["x", "log_fatplus", "log_fatmoid"].map(|key| numbers(&golden[key]));
        for (&improvement, plus) in x.iter().zip(&plus) {
            for (slack, moid) in x.iter().zip(&moid) {
                let found = log_nei_of([[improvement]], -slack);
                let tolerance = 1e-12 * (plus.abs() + moid.abs());
                assert!((found - (plus + moid)).abs() <= tolerance, "{improvement} {slack}: {found}");
            }
        }
    }

    #[test]
    fn candidates_join_by_fatmax_and_paths_by_logmeanexp() {
        let golden = golden();
        let vectors = golden["vectors"].as_array().unwrap();
        for (i, vector) in vectors.iter().enumerate() {
            let [a, b, c] = numbers(vector).try_into().map(|v: [f64; 3]| v.map(improvement_of)).unwrap();
            let joined = [
                ("fatmax", log_nei_of([[a], [b], [c]], FEASIBLE)),
                ("logmeanexp", log_nei_of([[a, b, c]], FEASIBLE)),
            ];
            for (name, found) in joined {
                let expected = golden[name][i].as_f64().unwrap();
                assert!((found / expected - 1.0).abs() <= 1e-12, "{name} {i}: {found} for {expected}");
            }
        }
    }
}
