#!/usr/bin/env bash
# Builds the npm package into wasm/pkg with wasm-pack: two modules, each plain and with SIMD, and their glue.
#   aquatope_wasm    everything, for three targets: web loads the module by its address and can choose (web.js), bundler
#                    imports the module, as webpack and Vite's plug-ins understand it (bundler.js), nodejs is CommonJS
#                    and reads the module from disk (nodejs.cjs)
#   aquatope_study   the optimiser alone, for web (study.js)
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PWD/node_modules/.bin:$PATH"
target=${CARGO_TARGET_DIR:-$PWD/../target}
bindings=$target/wasm-bindgen

# The features of WebAssembly that rustc emits for the target.
emitted="--enable-bulk-memory --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals
    --enable-reference-types --enable-multivalue"

# build MODULE VARIANT "CARGO FLAGS" TARGETS... makes pkg/MODULE_VARIANT.wasm and the glue.
build() {
    local module=$1 variant=$2 flags=$3
    shift 3
    for kind in "$@"; do
        # shellcheck disable=SC2086
        wasm-pack build --mode no-install --no-pack --no-opt --profile wasm --target "$kind" \
            --out-dir "$bindings/$variant/$kind" --out-name "$module" -- --locked $flags
        # One module serves all targets.
        cmp "$bindings/$variant/$kind/${module}_bg.wasm" "$bindings/$variant/web/${module}_bg.wasm"
    done
    # shellcheck disable=SC2086
    wasm-opt -O3 --strip-producers --strip-target-features $emitted $simd "$bindings/$variant/web/${module}_bg.wasm" \
        -o "pkg/${module}_$variant.wasm"
}

rm -rf pkg "$bindings"
mkdir pkg
for variant in bg simd_bg; do
    # A vector instruction in the plain module is an error.
    [ $variant = bg ] && { RUSTFLAGS="" simd=""; } || { RUSTFLAGS="-C target-feature=+simd128" simd="--enable-simd"; }
    export RUSTFLAGS
    build aquatope_wasm $variant "" web bundler nodejs
    build aquatope_study $variant "--no-default-features" web
done
# And one glue serves the plain module and the one with SIMD.
diff -r -x '*.wasm' "$bindings/bg" "$bindings/simd_bg"

glue=$bindings/bg
cp npm/* README.md ../LICENSE-APACHE ../LICENSE-MIT playground/assets/light.weights pkg/
for module in aquatope_wasm aquatope_study; do
    cp "$glue/web/$module.js" pkg/${module}_web.js
    cp "$glue/web/$module.d.ts" pkg/${module}_web.d.ts
done
cp "$glue/bundler/aquatope_wasm_bg.js" pkg/
cp "$glue/bundler/aquatope_wasm.d.ts" pkg/aquatope_wasm_bg.d.ts
cp "$glue/bundler/aquatope_wasm.d.ts" pkg/nodejs.d.cts
# Every Node since 16.4 has SIMD.
sed 's/aquatope_wasm_bg\.wasm/aquatope_wasm_simd_bg.wasm/' "$glue/nodejs/aquatope_wasm.js" >pkg/nodejs.cjs

# Words of ours where the glue would say "null pointer passed to rust" and "wasm is undefined".
for file in pkg/aquatope_{wasm,study}_web.js pkg/aquatope_wasm_bg.js pkg/nodejs.cjs; do
    sed -i -e 's/this\.__wbg_ptr = 0;/Object.defineProperty(this, "__wbg_ptr", FREED);/' \
        -e 's/const ptr = this\.__destroy_into_raw();/if (wasFreed(this)) return;\n        &/' "$file"
    cat >>"$file" <<'END'

const FREED = {
    get() {
        throw new Error(`this ${this.constructor.name} was freed; make a new one`);
    },
};

const wasFreed = (object) => Object.getOwnPropertyDescriptor(object, "__wbg_ptr").get === FREED.get;
END
done
for file in pkg/aquatope_{wasm,study}_web.js; do
    sed -i -E 's/= wasm\.([a-z]+_(new|restore|profile))\(/= loaded().\1(/' "$file"
    cat >>"$file" <<'END'

function loaded() {
    if (wasm === undefined) {
        throw new Error("the module is not loaded yet; await init() before anything else");
    }
    return wasm;
}
END
done
# The types speak of Symbol.dispose, those of the web of Response, which a project need not have in its own library.
sed -i '1i /// <reference lib="esnext.disposable" />' pkg/*_web.d.ts pkg/aquatope_wasm_bg.d.ts pkg/nodejs.d.cts
sed -i '1i /// <reference lib="dom" />' pkg/*_web.d.ts
# One set of names everywhere.
echo 'exports.simdSupported = () => true;' >>pkg/nodejs.cjs
printf '\n/** Whether this engine runs the SIMD build. */\nexport function simdSupported(): boolean;\n' >>pkg/nodejs.d.cts
