//! What is stated in several files is stated alike.

use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands behind `begin` on its line, up to the closing quote if there is one.
fn stated(text: &str, begin: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(begin));
    line.unwrap_or_else(|| panic!("no line begins with {begin}")).split('"').next().unwrap_or("").to_owned()
}

#[test]
fn versions_agree() {
    let workspace = read("Cargo.toml");
    let version = stated(&workspace, "version = \"");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert_eq!(version, stated(&read("wasm/npm/package.json"), "    \"version\": \""));

    let oldest = stated(&workspace, "rust-version = \"");
    for own_workspace in ["core/no-panic/Cargo.toml", "core/firmware/Cargo.toml"] {
        assert_eq!(oldest, stated(&read(own_workspace), "rust-version = \""), "{own_workspace}");
    }
    let toolchain = stated(&read("rust-toolchain.toml"), "channel = \"");
    let dockerfile = read("host/service/deploy/Dockerfile");
    assert_eq!(toolchain, stated(&dockerfile, "ENV RUSTUP_TOOLCHAIN="));
    assert!(dockerfile.contains(&format!("\nFROM rust:{toolchain}-")));

    let makefile = read("Makefile");
    assert_eq!(stated(&workspace, "wasm-bindgen = \"="), stated(&makefile, "WASM_BINDGEN := "));
}
