import load, { initSync } from "./aquatope_study_web.js";
import { simdSupported } from "./simd.js";

export * from "./aquatope_study_web.js";
export { initSync, simdSupported };

/**
 * Loads the module: call it once, and wait, before anything else. Without `source` the SIMD build is fetched from
 * beside this file where it is supported, the plain one otherwise.
 */
export default function init(source) {
    source ??= simdSupported()
        ? new URL("./aquatope_study_simd_bg.wasm", import.meta.url)
        : new URL("./aquatope_study_bg.wasm", import.meta.url);
    return load({ module_or_path: source });
}
