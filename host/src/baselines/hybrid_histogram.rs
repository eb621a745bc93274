//! The hybrid histogram policy: unload at once, load again just before the next invocation is due.
//!
//! Shahrad et al., *Serverless in the Wild* (ATC '20), section 4, per function instead of per application: a histogram
//! of idle times (last completion to next arrival) in one-minute bins up to four hours. Representative (the bin counts
//! vary by a coefficient of 2 or more): pre-warm at the 5th percentile (bin's lower edge) less 10 %, keep until the
//! 99th (upper edge) plus 10 %. Most idle times beyond four hours: forecast the next one by ARIMA, with 15 % to either
//! side. Otherwise keep every container for four hours. A function with a pre-warming time has all its containers
//! unloaded when it falls idle and one loaded again; busy functions keep their idle containers.

use super::arima::{Arima, Order};
use crate::sim::{Policy, Pool};

/// Bins of one minute: the histogram covers four hours.
const BINS: usize = 240;
const RANGE_S: f64 = BINS as f64 * 60.0;
/// Idle times needed before anything but the standard keep-alive is tried.
const ENOUGH: u32 = 5;
const REPRESENTATIVE_CV: f64 = 2.0;
const MARGIN: f64 = 0.10;
const ARIMA_MARGIN: f64 = 0.15;
/// Idle times the time-series branch looks at.
const RECENT: usize = 100;
const ORDERS: [Order; 4] = [
    Order { p: 0, d: 0, q: 0 },
    Order { p: 1, d: 0, q: 0 },
    Order { p: 1, d: 1, q: 0 },
    Order { p: 0, d: 1, q: 1 },
];

/// The hybrid histogram policy.
#[derive(Clone, Debug, Default)]
pub struct HybridHistogram {
    functions: Vec<Idleness>,
}

/// What is known of one function's idle times, and the plan for the present one.
#[derive(Clone, Debug)]
struct Idleness {
    bins: [u32; BINS],
    outside: u32,
    recent: Vec<f64>,
    /// When the function fell idle; `None` while it is busy and before its first run.
    since_s: Option<f64>,
    plan: Plan,
}

/// Seconds after falling idle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    /// Load a container; 0: do not unload at all.
    prewarm_s: f64,
    /// Unload it again.
    until_s: f64,
}

/// Keep every container for the range of the histogram.
const STANDARD: Plan = Plan { prewarm_s: 0.0, until_s: RANGE_S };

impl Idleness {
    fn new() -> Self {
        Self { bins: [0; BINS], outside: 0, recent: vec![], since_s: None, plan: STANDARD }
    }

    fn learn(&mut self, idle_s: f64) {
        match self.bins.get_mut((idle_s / 60.0) as usize) {
            Some(bin) => *bin += 1,
            None => self.outside += 1,
        }
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(idle_s);
    }

    fn plan(&self) -> Plan {
        let inside: u32 = self.bins.iter().sum();
        if inside + self.outside < ENOUGH {
            return STANDARD;
        }
        if self.outside > inside {
            let fits = ORDERS.iter().filter_map(|&order| Arima::fit_order(order, &self.recent));
            let best = fits.min_by(|a, b| a.1.total_cmp(&b.1));
            let next_s = best.map_or(0.0, |(mut model, _)| super::PointForecaster::predict(&mut model));
            return if next_s > 0.0 {
                Plan { prewarm_s: (1.0 - ARIMA_MARGIN) * next_s, until_s: (1.0 + ARIMA_MARGIN) * next_s }
            } else {
                STANDARD
            };
        }
        if self.variation(inside) < REPRESENTATIVE_CV {
            return STANDARD;
        }
        let percentile = |share: f64| {
            let mut below = 0;
            self.bins.iter().position(|&bin| {
                below += bin;
                f64::from(below) >= share * f64::from(inside)
            })
        };
        let (head, tail) = (percentile(0.05).unwrap_or(0), percentile(0.99).unwrap_or(BINS - 1));
        Plan {
            prewarm_s: (1.0 - MARGIN) * 60.0 * head as f64,
            until_s: (1.0 + MARGIN) * 60.0 * (tail + 1) as f64,
        }
    }

    /// Coefficient of variation of the bin counts.
    fn variation(&self, inside: u32) -> f64 {
        let mean = f64::from(inside) / BINS as f64;
        let squares: f64 = self.bins.iter().map(|&bin| (f64::from(bin) - mean).powi(2)).sum();
        (squares / BINS as f64).sqrt() / mean
    }
}

impl Policy for HybridHistogram {
    /// The histogram learns from the first invocation on.
    fn warm_up_s(&self) -> f64 {
        f64::INFINITY
    }

    fn begin(&mut self, pool: &mut Pool<'_>) {
        self.functions = vec![Idleness::new(); pool.functions().len()];
        for function in 0..self.functions.len() {
            pool.set_keep_alive(function, STANDARD.until_s);
        }
    }

    fn arrival(&mut self, function: usize, _: bool, pool: &mut Pool<'_>) {
        let idleness = &mut self.functions[function];
        if let Some(since_s) = idleness.since_s.take() {
            idleness.learn(pool.now_s() - since_s);
            pool.wake_at(function, f64::INFINITY);
            pool.set_keep_alive(function, idleness.plan.until_s);
        }
    }

    fn finished(&mut self, function: usize, pool: &mut Pool<'_>) {
        if pool.busy(function) > 0 {
            return;
        }
        let idleness = &mut self.functions[function];
        idleness.since_s = Some(pool.now_s());
        idleness.plan = idleness.plan();
        pool.set_keep_alive(function, idleness.plan.until_s);
        if idleness.plan.prewarm_s > 0.0 {
            pool.evict_surplus(function, 0);
            pool.wake_at(function, pool.now_s() + idleness.plan.prewarm_s);
        }
    }

    fn woke(&mut self, function: usize, pool: &mut Pool<'_>) {
        let Idleness { since_s: Some(since_s), plan, .. } = self.functions[function] else { return };
        // The container becomes idle once it has started; from then on it has the rest of the window.
        let ready_s = pool.now_s() + pool.functions()[function].cold_start_s;
        pool.set_keep_alive(function, (since_s + plan.until_s - ready_s).max(0.0));
        pool.launch(function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::testing::{one_function, simulate};

    fn learnt(idle_minutes: &[f64]) -> Idleness {
        let mut idleness = Idleness::new();
        idle_minutes.iter().for_each(|minutes| idleness.learn(minutes * 60.0));
        idleness
    }

    #[test]
    fn plans_by_hand() {
        assert_eq!(learnt(&[30.0; 4]).plan(), STANDARD, "too few");
        let close = |plan: Plan, prewarm_s: f64, until_s: f64| {
            assert!(
                (plan.prewarm_s - prewarm_s).abs() < 1e-6 && (plan.until_s - until_s).abs() < 1e-6,
                "{plan:?}"
            );
        };
        // All in bin 30: 30 min less 10 %, 31 min plus 10 %.
        close(learnt(&[30.5; 20]).plan(), 27.0 * 60.0, 34.1 * 60.0);
        // One in twenty at 2 min is the 5th percentile; the longest is the 99th.
        let mut mixed = vec![30.5; 19];
        mixed.push(2.5);
        close(learnt(&mixed).plan(), 1.8 * 60.0, 34.1 * 60.0);
        // Spread evenly over the bins: coefficient of variation 0.
        let even: Vec<f64> = (0..240).map(f64::from).collect();
        assert_eq!(learnt(&even).plan(), STANDARD, "not representative");
        // Every six hours: beyond the histogram, forecast.
        close(learnt(&[360.0; 12]).plan(), 0.85 * 360.0 * 60.0, 1.15 * 360.0 * 60.0);
    }

    #[test]
    fn a_timer_is_met_by_one_container() {
        // Every 20 minutes, 10 s of work, for 10 hours. After five idle times the container is unloaded at once,
        // loaded after 17.1 min and there at the next arrival: only the first start is cold.
        let events: Vec<(f64, f64)> = (0..30).map(|i| (f64::from(i) * 1200.0 + 5.0, 10.0)).collect();
        let trace = one_function(600, &events);
        let outcome = simulate(&trace, &mut HybridHistogram::default());
        assert_eq!((outcome.invocations, outcome.cold_starts), (30, 1));
        // Five periods all alive, then from 17.1 min after the end of a run to the end of the next.
        let period = 1200.0 - 0.9 * 19.0 * 60.0;
        assert!(outcome.alive_s < 6.0 * 1200.0 + 25.0 * period, "{}", outcome.alive_s);
        assert!(outcome.alive_s > 5.0 * 1200.0 + 24.0 * (period - 2.0), "{}", outcome.alive_s);
    }
}
