//! What the fuzz targets share: hostile numbers, a model that costs nothing, files in a scratch folder.

pub mod files;
pub mod number;
pub mod study;
/// The one of the core's own tests.
#[path = "../../core/tests/bo/uniform.rs"]
pub mod uniform;
