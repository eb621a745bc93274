//! Training on CPU: what `aquatope train` runs and what `replay` and `forecast --stream` run before they forecast.

pub mod adam;
pub mod hybrid;
pub mod light;
pub mod lstm_bptt;
pub mod matrix;
pub mod model_file;
pub mod network;
pub mod profile;
pub mod samples;
