import load, { initSync as loadNow } from "./aquatope_study_web.js";
import { loading } from "./load.js";
import { simdSupported } from "./simd.js";

export * from "./aquatope_study_web.js";
export { simdSupported };

const { init, initSync } = loading(load, loadNow, "aquatope_study", () =>
    // Written out, for bundlers.
    simdSupported()
        ? new URL("./aquatope_study_simd_bg.wasm", import.meta.url)
        : new URL("./aquatope_study_bg.wasm", import.meta.url),
);
export default init;
export { initSync };
