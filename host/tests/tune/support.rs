//! Where the shared data lies, and how the binary is run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) const WORKFLOWS: [&str; 7] = ["single1", "chain3", "ml4", "api4", "fan5", "video5", "social10"];

pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)
}

pub(crate) fn workflow(name: &str) -> PathBuf {
    fixture(&format!("workflows/{name}.json"))
}

/// An empty folder of this test's own.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tune").join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// `aquatope tune --workflow NAME ...`, not yet started.
pub(crate) fn tune(name: &str, options: &[&str]) -> Command {
    tune_file(&workflow(name), options)
}

pub(crate) fn tune_file(path: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aquatope"));
    command.arg("tune").arg("--workflow").arg(path).args(options);
    command
}

/// What it prints with `--json`; fails the test unless it exits with 0.
#[track_caller]
pub(crate) fn tune_json(name: &str, options: &[&str]) -> Value {
    tune_json_file(&workflow(name), options)
}

#[track_caller]
pub(crate) fn tune_json_file(path: &Path, options: &[&str]) -> Value {
    let output = tune_file(path, options).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The run must end with code 2 and an error that contains `expected`.
#[track_caller]
pub(crate) fn refused(command: &mut Command, expected: &str) {
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(expected), "{text:?} does not contain {expected:?}");
    assert!(!text.contains("panicked"), "{text}");
}
