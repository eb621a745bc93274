//! What the fuzz targets share: hostile numbers, a model that costs nothing, files in a scratch folder.

pub mod files;
pub mod number;
pub mod study;
pub mod uniform;
