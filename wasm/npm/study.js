import load, { initSync as loadNow } from "./aquatope_study_web.js";
import { simdSupported } from "./simd.js";

export * from "./aquatope_study_web.js";
export { simdSupported };

/**
 * Loads the module: call it once, and wait, before anything else. Without `source` the SIMD build is fetched from
 * beside this file where it is supported, the plain one otherwise.
 */
export default async function init(source) {
    source = source?.module_or_path ?? source;
    source ??= simdSupported()
        ? new URL("./aquatope_study_simd_bg.wasm", import.meta.url)
        : new URL("./aquatope_study_bg.wasm", import.meta.url);
    try {
        return await load({ module_or_path: source });
    } catch (error) {
        throw refused("init", error);
    }
}

/** The same without waiting, for a module that is here already. */
export function initSync(source) {
    try {
        return loadNow({ module: source?.module ?? source?.module_or_path ?? source });
    } catch (error) {
        throw refused("initSync", error);
    }
}

const refused = (call, cause) =>
    new Error(
        `${call}: cannot load the module (${cause.message}); give ${call === "init" ? "the address, " : ""}the bytes or the ` +
            "WebAssembly.Module of aquatope_study_bg.wasm or aquatope_study_simd_bg.wasm, or in Node import aquatope-wasm",
        { cause },
    );
