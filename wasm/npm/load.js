/**
 * What loads a module, for its entry point: by the glue's `load` and `loadNow`; `name` is what its files begin with, `address`
 * gives the one to fetch where none is given.
 */
export const loading = (load, loadNow, name, address) => {
    const refused = (call, given, cause) =>
        new Error(
            `${call}: cannot load the module (${cause.message}); give ${given}the bytes or the WebAssembly.Module of ` +
                `${name}_bg.wasm or ${name}_simd_bg.wasm, or in Node import aquatope-wasm`,
            { cause },
        );
    return {
        async init(source) {
            try {
                return await load({ module_or_path: source?.module_or_path ?? source ?? address() });
            } catch (error) {
                throw refused("init", "the address, ", error);
            }
        },
        initSync(source) {
            try {
                return loadNow({ module: source?.module ?? source?.module_or_path ?? source });
            } catch (error) {
                throw refused("initSync", "", error);
            }
        },
    };
};
