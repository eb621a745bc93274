import { __wbg_set_wasm } from "./aquatope_wasm_bg.js";
import { simdSupported } from "./simd.js";

const module = simdSupported()
    ? await import("./aquatope_wasm_simd_bg.wasm")
    : await import("./aquatope_wasm_bg.wasm");
__wbg_set_wasm(module);
module.__wbindgen_start();

export * from "./aquatope_wasm_bg.js";
export { simdSupported };
