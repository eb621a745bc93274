import type { InitInput, InitOutput, SyncInitInput } from "./aquatope_wasm_web.js";

export * from "./aquatope_wasm_web.js";

/** Whether this engine runs the SIMD build. */
export function simdSupported(): boolean;

/**
 * Loads the module: call it once, and wait, before anything else. Without `source` the SIMD build is fetched from
 * beside this file where it is supported, the plain one otherwise.
 */
export default function init(source?: InitInput | Promise<InitInput>): Promise<InitOutput>;

/** The same without waiting, for a module that is here already: its bytes, or the compiled module. */
export function initSync(source: SyncInitInput | { module: SyncInitInput }): InitOutput;
