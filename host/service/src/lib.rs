//! The Aquatope service: observe activations, forecast and plan every minute, keep containers warm, tune workflows.

pub mod observe;
