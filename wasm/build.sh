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
cp npm/* README.md ../LICENSE-APACHE ../LICENSE-MIT pkg/
for module in aquatope_wasm aquatope_study; do
    cp "$glue/web/$module.js" pkg/${module}_web.js
    cp "$glue/web/$module.d.ts" pkg/${module}_web.d.ts
done
cp "$glue/bundler/aquatope_wasm_bg.js" pkg/
cp "$glue/bundler/aquatope_wasm.d.ts" pkg/aquatope_wasm_bg.d.ts
cp "$glue/bundler/aquatope_wasm.d.ts" pkg/nodejs.d.cts
# Every Node since 16.4 has SIMD.
sed 's/aquatope_wasm_bg\.wasm/aquatope_wasm_simd_bg.wasm/' "$glue/nodejs/aquatope_wasm.js" >pkg/nodejs.cjs
