//! Linker settings of the WebAssembly module.

fn main() {
    // Studies and their proposals pass through the stack by value: the default of 1 MB is cut close.
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=4194304");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
