//! Where the shared data lies.

use std::path::PathBuf;

pub(crate) const WORKFLOWS: [&str; 6] = ["single1", "chain3", "ml4", "fan5", "video5", "social10"];

pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)
}

pub(crate) fn workflow(name: &str) -> PathBuf {
    fixture(&format!("workflows/{name}.json"))
}
