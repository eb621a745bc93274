#!/usr/bin/env bash
# Builds the npm package into wasm/pkg: two modules, each plain and with SIMD, and their glue.
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

# build MODULE VARIANT RUSTFLAGS "CARGO FLAGS" TARGETS... makes pkg/MODULE_VARIANT.wasm and the glue.
build() {
    local module=$1 variant=$2 rustflags=$3 flags=$4
    shift 4
    # shellcheck disable=SC2086
    RUSTFLAGS=$rustflags "${CARGO:-cargo}" build --locked --profile wasm --target wasm32-unknown-unknown \
        -p aquatope-wasm $flags
    for kind in "$@"; do
        wasm-bindgen --target "$kind" --out-dir "$bindings/$variant/$kind" --out-name "$module" \
            "$target/wasm32-unknown-unknown/wasm/aquatope_wasm.wasm"
        # One module serves all targets.
        cmp "$bindings/$variant/$kind/${module}_bg.wasm" "$bindings/$variant/web/${module}_bg.wasm"
    done
    # shellcheck disable=SC2086
    wasm-opt -O3 --strip-producers $emitted --enable-simd "$bindings/$variant/web/${module}_bg.wasm" \
        -o "pkg/${module}_$variant.wasm"
}

rm -rf pkg "$bindings"
mkdir pkg
for variant in bg simd_bg; do
    [ $variant = bg ] && rustflags="" || rustflags="-C target-feature=+simd128"
    build aquatope_wasm $variant "$rustflags" "" web bundler nodejs
    build aquatope_study $variant "$rustflags" "--no-default-features" web
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
