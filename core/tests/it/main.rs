//! Integration tests of the core, one topic a file.

/// What the core stands on.
mod dependencies;
/// What the documents say is tested.
mod documents;
/// What errors say.
mod errors;
/// Neural layers and the hybrid network against PyTorch.
mod golden_nn;
/// The lists of operations that are proven not to panic.
mod no_panic;
/// What is stated in several files.
mod versions;
