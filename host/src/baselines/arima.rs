//! ARIMA(p, d, q): Hannan-Rissanen start, conditional least squares, order by Akaike's criterion.
//!
//! Box, Jenkins, Reinsel and Ljung, *Time Series Analysis* (5th ed.), section 7.1.2 (conditional sum of squares);
//! Hannan and Rissanen, *Recursive estimation of mixed autoregressive-moving average order* (Biometrika 1982) for the
//! start. With `w` the series differenced `d` times, `e` the residuals:
//! `w[t] = c + sum phi[i] w[t-i] + e[t] + sum theta[j] e[t-j]`, residuals before the first full row zero.
//! Fitted once on the last day of training, as refitting every minute changes little and costs much; the filter
//! then runs on every value.

use nalgebra::{DMatrix, DVector};

use super::{DAY, PointForecaster};

/// An order `(p, d, q)`; undifferenced models have a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Autoregressive terms.
    pub p: usize,
    /// Differences, 0 or 1.
    pub d: usize,
    /// Moving-average terms.
    pub q: usize,
}

/// The orders [`Arima::fit`] chooses from.
pub const ORDERS: [Order; 3] =
    [Order { p: 2, d: 0, q: 1 }, Order { p: 1, d: 1, q: 1 }, Order { p: 3, d: 1, q: 2 }];

/// A fitted model standing at the end of its data.
#[derive(Clone, Debug)]
pub struct Arima {
    order: Order,
    /// `c` (when `d = 0`), `phi`, `theta`.
    coefficients: Vec<f64>,
    /// Differenced values and residuals, latest first.
    lags: Vec<f64>,
    residuals: Vec<f64>,
    last: f64,
}

impl Arima {
    /// Fit every order of [`ORDERS`] to the last day of `train` and keep the one with the least Akaike criterion. A
    /// series that does not vary, or is too short, is forecast by its last value.
    pub fn fit(train: &[u32]) -> Self {
        let recent: Vec<f64> =
            train[train.len().saturating_sub(DAY)..].iter().map(|&value| f64::from(value)).collect();
        let persistence = Self::standing(Order { p: 0, d: 1, q: 0 }, vec![], &recent);
        if recent.len() < 50 || recent.iter().all(|value| *value == recent[0]) {
            return persistence;
        }
        let fits = ORDERS.iter().filter_map(|&order| Self::fit_order(order, &recent));
        fits.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(persistence, |(model, _)| model)
    }

    /// Fit one order to `values`; with its Akaike criterion `n ln(sse / n) + 2 k`. `None` when the least squares
    /// problem is singular.
    pub fn fit_order(order: Order, values: &[f64]) -> Option<(Self, f64)> {
        let w = difference(values, order.d);
        let mut coefficients = hannan_rissanen(order, &w)?;
        let mut sse = sum_of_squares(order, &coefficients, &w, None);
        // Levenberg-Marquardt on the conditional sum of squares.
        let mut damping = 1e-3;
        for _ in 0..50 {
            let mut normal = Normal::new(coefficients.len());
            sum_of_squares(order, &coefficients, &w, Some(&mut normal));
            let Some(step) = normal.solve(damping) else { break };
            let candidate: Vec<f64> = coefficients.iter().zip(step.iter()).map(|(c, s)| c + s).collect();
            let candidate_sse = sum_of_squares(order, &candidate, &w, None);
            if candidate_sse < sse && invertible(&candidate[candidate.len() - order.q..]) {
                let gain = (sse - candidate_sse) / sse;
                (coefficients, sse) = (candidate, candidate_sse);
                damping *= 0.2;
                if gain < 1e-10 {
                    break;
                }
            } else {
                damping *= 5.0;
                if damping > 1e6 {
                    break;
                }
            }
        }
        let used = (w.len() - order.p) as f64;
        let parameters = (coefficients.len() + 1) as f64;
        let criterion = used * (sse / used).max(1e-12).ln() + 2.0 * parameters;
        criterion.is_finite().then(|| (Self::standing(order, coefficients, values), criterion))
    }

    /// A model with given coefficients that has taken in `values`.
    fn standing(order: Order, coefficients: Vec<f64>, values: &[f64]) -> Self {
        let (lags, residuals) = (vec![0.0; order.p], vec![0.0; order.q]);
        let mut model =
            Self { order, coefficients, lags, residuals, last: values.first().copied().unwrap_or(0.0) };
        for (index, &value) in values.iter().enumerate().skip(order.d) {
            model.advance(value, index < order.p + order.d);
        }
        model
    }

    fn constant(&self) -> f64 {
        if self.order.d == 0 && !self.coefficients.is_empty() { self.coefficients[0] } else { 0.0 }
    }

    fn expected(&self) -> f64 {
        let skip = usize::from(self.order.d == 0);
        let terms = self.lags.iter().chain(&self.residuals);
        self.constant() + terms.zip(self.coefficients.iter().skip(skip)).map(|(x, c)| x * c).sum::<f64>()
    }

    fn advance(&mut self, value: f64, starting: bool) {
        let w = if self.order.d == 0 { value } else { value - self.last };
        let residual = if starting { 0.0 } else { w - self.expected() };
        push_front(&mut self.lags, w);
        push_front(&mut self.residuals, residual);
        self.last = value;
    }
}

impl PointForecaster for Arima {
    fn predict(&mut self) -> f64 {
        let base = if self.order.d == 0 { 0.0 } else { self.last };
        let prediction = base + self.expected();
        if prediction.is_finite() { prediction } else { self.last }
    }

    fn observe(&mut self, value: u32) {
        self.advance(f64::from(value), false);
    }

    fn boxed_clone(&self) -> Box<dyn PointForecaster> {
        Box::new(self.clone())
    }
}

fn push_front(latest_first: &mut [f64], value: f64) {
    if let Some(oldest) = latest_first.last_mut() {
        *oldest = value;
        latest_first.rotate_right(1);
    }
}

fn difference(values: &[f64], d: usize) -> Vec<f64> {
    if d == 0 { values.to_vec() } else { values.windows(2).map(|pair| pair[1] - pair[0]).collect() }
}

/// Normal equations of a Gauss-Newton step.
struct Normal {
    gram: DMatrix<f64>,
    moment: DVector<f64>,
}

impl Normal {
    fn new(width: usize) -> Self {
        Self { gram: DMatrix::zeros(width, width), moment: DVector::zeros(width) }
    }

    fn add(&mut self, row: &[f64], target: f64) {
        for (i, &a) in row.iter().enumerate() {
            self.moment[i] += a * target;
            for (j, &b) in row.iter().enumerate() {
                self.gram[(i, j)] += a * b;
            }
        }
    }

    /// The step with Marquardt's scaled `damping`.
    fn solve(mut self, damping: f64) -> Option<DVector<f64>> {
        for i in 0..self.moment.len() {
            self.gram[(i, i)] += damping * self.gram[(i, i)] + 1e-12;
        }
        Some(self.gram.cholesky()?.solve(&self.moment)).filter(|step| step.iter().all(|s| s.is_finite()))
    }
}

/// Long autoregression for residuals, then regression on lags of both.
fn hannan_rissanen(order: Order, w: &[f64]) -> Option<Vec<f64>> {
    let Order { p, d, q } = order;
    let long = if q == 0 { p } else { (p.max(q) + 8).min(w.len() / 4) };
    if w.len() < 2 * (long + p + q + 2) {
        return None;
    }
    let skip = usize::from(d == 0);
    let residuals = if q == 0 {
        vec![0.0; w.len()]
    } else {
        let pure = Order { p: long, d, q: 0 };
        let coefficients = regress(pure, w, &[], long)?;
        let mut residuals = vec![0.0; w.len()];
        for t in long..w.len() {
            let constant = if d == 0 { coefficients[0] } else { 0.0 };
            let fitted: f64 = (0..long).map(|i| coefficients[skip + i] * w[t - 1 - i]).sum();
            residuals[t] = w[t] - constant - fitted;
        }
        residuals
    };
    let mut coefficients = regress(order, w, &residuals, long + q)?;
    // A start outside the invertible region would let residuals grow: shrink it inwards.
    let moving_average = skip + p;
    while !invertible(&coefficients[moving_average..]) {
        coefficients[moving_average..].iter_mut().for_each(|theta| *theta *= 0.8);
    }
    Some(coefficients)
}

/// Least squares of `w[t]` on constant, `p` lags and `q` residuals, for `t >= first`.
fn regress(order: Order, w: &[f64], residuals: &[f64], first: usize) -> Option<Vec<f64>> {
    let skip = usize::from(order.d == 0);
    let mut row = vec![1.0; skip + order.p + order.q];
    let mut normal = Normal::new(row.len());
    for t in first..w.len() {
        for i in 0..order.p {
            row[skip + i] = w[t - 1 - i];
        }
        for j in 0..order.q {
            row[skip + order.p + j] = residuals[t - 1 - j];
        }
        normal.add(&row, w[t]);
    }
    Some(normal.solve(1e-9)?.as_slice().to_vec())
}

/// The conditional sum of squares; with `normal`, also the Gauss-Newton equations of its minimum.
fn sum_of_squares(order: Order, coefficients: &[f64], w: &[f64], mut normal: Option<&mut Normal>) -> f64 {
    let Order { p, d, q } = order;
    let skip = usize::from(d == 0);
    let width = coefficients.len();
    let theta = &coefficients[skip + p..];
    // Residuals and minus their gradients of the last q minutes, latest first.
    let mut recent = vec![0.0; q];
    let mut gradients = vec![vec![0.0; width]; q];
    let mut gradient = vec![0.0; width];
    let mut sum = 0.0;
    for t in p..w.len() {
        if skip == 1 {
            gradient[0] = 1.0;
        }
        for i in 0..p {
            gradient[skip + i] = w[t - 1 - i];
        }
        gradient[skip + p..].copy_from_slice(&recent);
        let expected: f64 = gradient.iter().zip(coefficients).map(|(x, c)| x * c).sum();
        let residual = w[t] - expected;
        sum += residual * residual;
        if let Some(normal) = normal.as_deref_mut() {
            for (past, &theta) in gradients.iter().zip(theta) {
                gradient.iter_mut().zip(past).for_each(|(g, &before)| *g -= theta * before);
            }
            normal.add(&gradient, residual);
            if q > 0 {
                gradients.rotate_right(1);
                gradients[0].copy_from_slice(&gradient);
            }
        }
        push_front(&mut recent, residual);
    }
    if sum.is_finite() { sum } else { f64::INFINITY }
}

/// Whether the roots of `1 + theta[0] z + theta[1] z^2` lie outside the unit circle (for at most two terms).
fn invertible(theta: &[f64]) -> bool {
    match *theta {
        [] => true,
        [a] => a.abs() < 0.999,
        [a, b, ..] => b.abs() < 0.999 && a.abs() < 0.999 + b,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// statsmodels, maximum likelihood; fixtures/generate/arima.py.
    #[derive(Deserialize)]
    struct Golden {
        p: usize,
        d: usize,
        q: usize,
        values: Vec<f64>,
        coefficients: Vec<f64>,
        variance: f64,
        /// Of the last 100 values, each from all before it.
        predictions: Vec<f64>,
    }

    impl Golden {
        fn all() -> Vec<(Order, Self)> {
            let cases: Vec<Self> =
                serde_json::from_str(include_str!("../../../fixtures/golden/arima.json")).unwrap();
            cases.into_iter().map(|case| (Order { p: case.p, d: case.d, q: case.q }, case)).collect()
        }

        /// Predictions of the last 100 values by `model`, which stands before them.
        fn predict(&self, mut model: Arima) -> Vec<f64> {
            let tail = &self.values[self.values.len() - 100..];
            tail.iter()
                .map(|&value| {
                    let prediction = model.predict();
                    model.advance(value, false);
                    prediction
                })
                .collect()
        }
    }

    #[test]
    fn filter_equals_statsmodels_at_its_coefficients() {
        for (order, golden) in Golden::all() {
            let before = &golden.values[..golden.values.len() - 100];
            let model = Arima::standing(order, golden.coefficients.clone(), before);
            for (ours, theirs) in golden.predict(model).iter().zip(&golden.predictions) {
                assert!((ours - theirs).abs() < 1e-6, "{order:?}: {ours} for {theirs}");
            }
        }
    }

    #[test]
    fn conditional_least_squares_is_near_maximum_likelihood() {
        for (order, golden) in Golden::all() {
            let (model, criterion) = Arima::fit_order(order, &golden.values).unwrap();
            let used = golden.values.len() - order.d - order.p;
            let parameters = (golden.coefficients.len() + 1) as f64;
            let variance = ((criterion - 2.0 * parameters) / used as f64).exp();
            assert!((variance / golden.variance - 1.0).abs() < 0.01, "{order:?}: {variance}");
            let model =
                Arima::standing(order, model.coefficients, &golden.values[..golden.values.len() - 100]);
            let spread = golden.variance.sqrt();
            for (ours, theirs) in golden.predict(model).iter().zip(&golden.predictions) {
                assert!((ours - theirs).abs() < 0.15 * spread, "{order:?}: {ours} for {theirs}");
            }
        }
    }

    #[test]
    fn gradient_is_that_of_the_sum_of_squares() {
        for (order, golden) in Golden::all() {
            let w = difference(&golden.values, order.d);
            let mut normal = Normal::new(golden.coefficients.len());
            let at: Vec<f64> = golden.coefficients.iter().map(|c| c * 0.8).collect();
            sum_of_squares(order, &at, &w, Some(&mut normal));
            for (index, moment) in normal.moment.iter().enumerate() {
                let shifted = |by: f64| {
                    let mut coefficients = at.clone();
                    coefficients[index] += by;
                    sum_of_squares(order, &coefficients, &w, None)
                };
                let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                assert!((slope + 2.0 * moment).abs() < 1e-4 * slope.abs().max(1.0), "{order:?} {index}");
            }
        }
    }

    #[test]
    fn series_without_variation_is_persistent() {
        for train in [&[][..], &[5; 30], &[5; 3000]] {
            let mut model = Arima::fit(train);
            assert_eq!(model.predict(), f64::from(train.first().copied().unwrap_or(0)));
            model.observe(9);
            assert_eq!(model.predict(), 9.0);
        }
    }

    #[test]
    fn invertible_region() {
        for (theta, expected) in
            [(&[][..], true), (&[0.9], true), (&[-1.1], false), (&[0.5, 0.3], true), (&[1.9, 0.5], false)]
        {
            assert_eq!(invertible(theta), expected, "{theta:?}");
        }
    }
}
