// Runs a WASI program, here the very optimiser of the package as an ordinary program with standard output:
//
//   cargo build --release -p aquatope-core --features serde --example ask_tell --target wasm32-wasip1
//   node wasm/examples/wasi.mjs target/wasm32-wasip1/release/examples/ask_tell.wasm
//   wasmtime target/wasm32-wasip1/release/examples/ask_tell.wasm          does the same
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const [program, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: [program, ...args], env: process.env, preopens: { "/": "/" } });
const { instance } = await WebAssembly.instantiate(readFileSync(program), wasi.getImportObject());
process.exitCode = wasi.start(instance);
