export * from "./aquatope_wasm_bg.js";

/** Whether this engine runs the SIMD build. */
export function simdSupported(): boolean;
