//! Integration tests of the core, one topic a file.

/// Neural layers and the hybrid network against PyTorch.
mod golden_nn;
