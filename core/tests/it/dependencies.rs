//! What the core stands on, on every target and in build scripts: six crates at most, and nothing behind them that was not
//! looked at. What tests alone need is not counted.

use std::process::Command;

/// Direct dependencies, `serde` and `postcard` with the feature `serde` only.
const DIRECT: [&str; 6] = ["bytemuck", "heapless", "libm", "postcard", "rand_core", "serde"];

/// What these bring on any target: a hasher and a marker trait (heapless), byte stuffing and error texts (postcard), and
/// macros that run while compiling.
const BEHIND: [&str; 12] = [
    "byteorder",
    "cobs",
    "hash32",
    "proc-macro2",
    "quote",
    "serde_core",
    "serde_derive",
    "stable_deref_trait",
    "syn",
    "thiserror",
    "thiserror-impl",
    "unicode-ident",
];

#[test]
fn dependencies_are_the_known_ones() {
    let tree = |depth: &str| {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--offline",
                "--edges",
                "normal,build",
                "--target",
                "all",
                "--all-features",
                "--prefix",
                "none",
            ])
            .args(["--package", "aquatope-core", "--format", "{p}", "--depth", depth])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let names = text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
        let mut names: Vec<String> = names.filter(|name| name != "aquatope-core").collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    assert_eq!(tree("1"), DIRECT, "a new dependency of the core needs a reason (CONTRIBUTING.md)");
    let unknown: Vec<String> = tree("99")
        .into_iter()
        .filter(|name| !DIRECT.contains(&&**name) && !BEHIND.contains(&&**name))
        .collect();
    assert_eq!(unknown, [] as [&str; 0], "a dependency brings new ones");
}
