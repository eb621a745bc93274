//! Bayesian optimisation through the public interface.

/// Ask, tell, screen, reject, fail, forget, snapshot: with a model that only draws at random.
mod study;
