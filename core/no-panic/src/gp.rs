//! Gaussian processes of 32 observations in 4 dimensions, and the judging of their observations.

use crate::keep;
use aquatope_core::anomaly::Verdict;
use aquatope_core::anomaly::leave_one_out::judge;
use aquatope_core::gp::{Gp, GpScratch, kernel};

type Process = Gp<32, 4>;

pub fn keep() {
    keep! {
        GpScratch::<32, 4>::new: fn() -> _,
        kernel::matern52: fn(_) -> _,
        kernel::matern52_with_slope: fn(_) -> _,
        Process::new: fn() -> _,
        Process::reset: fn(_, _) -> _,
        Process::push: fn(_, _, _, _) -> _,
        Process::set_hyperparameters: fn(_, _) -> _,
        Process::fit: fn(_, _, _) -> _,
        Process::condition: fn(_, _, _, _) -> _,
        Process::remove: fn(_, _) -> _,
        Process::len: fn(_) -> _,
        Process::is_empty: fn(_) -> _,
        Process::dimensions: fn(_) -> _,
        Process::jitter: fn(_) -> _,
        Process::hyperparameters: fn(_) -> _,
        Process::targets: fn(_) -> _,
        Process::noise: fn(_) -> _,
        Process::input: fn(_, _) -> _,
        Process::alpha: fn(_) -> _,
        Process::factor: fn(_) -> _,
        Process::covariances: fn(_, _, _) -> _,
        Process::covariance: fn(_, _, _) -> _,
        Process::mean: fn(_, _) -> _,
        Process::posterior: fn(_, _) -> _,
        Process::joint_posterior: fn(_, _, _, _, _) -> _,
        Process::inverse: fn(_, _),
        Process::leave_one_out: fn(_, _, _) -> _,
        Process::log_marginal_likelihood: fn(_, _, _, _, _, _) -> _,
        judge::<32, 4>: fn(_, _, _, _, _) -> _,
        Verdict::is_anomalous: fn(_) -> _,
    }
}
