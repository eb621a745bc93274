//! Bayesian optimisation through the public interface.

/// The acquisition function: what it leaves of its processes, and when it has no answer.
mod acquisition;

/// The black-box model in whole studies.
mod blackbox;

/// Degenerate data, conditioning and removing.
mod gp;

/// Golden values of reference implementations.
mod golden;

/// Ask, tell, screen, reject, fail, forget, snapshot: with a model that only draws at random.
mod study;

/// That model; public for the fuzz targets, which include the file.
#[allow(unreachable_pub)]
mod uniform;
