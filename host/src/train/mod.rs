//! Training on CPU: what `aquatope train` runs and what `replay` and `forecast --stream` run before they forecast.

pub mod light;
pub mod light_file;
pub mod profile;
