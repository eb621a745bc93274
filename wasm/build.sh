#!/usr/bin/env bash
# Builds the npm package into wasm/pkg: one plain and one SIMD module, and the glue of three targets.
#   web       loads the module by its address and can choose: web.js
#   bundler   imports the module, as webpack and Vite's plug-ins understand it: bundler.js
#   nodejs    CommonJS, reads the module from disk: nodejs.cjs
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PWD/node_modules/.bin:$PATH"
target=${CARGO_TARGET_DIR:-$PWD/../target}
bindings=$target/wasm-bindgen

# The features of the module: those rustc emits for the target.
features="--enable-bulk-memory --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals
    --enable-reference-types --enable-multivalue"

rm -rf pkg "$bindings"
mkdir pkg
for variant in plain simd; do
    if [ $variant = simd ]; then
        flags="-C target-feature=+simd128" features="$features --enable-simd" module=aquatope_wasm_simd_bg.wasm
    else
        flags="" module=aquatope_wasm_bg.wasm
    fi
    RUSTFLAGS=$flags "${CARGO:-cargo}" build --locked --profile wasm --target wasm32-unknown-unknown -p aquatope-wasm
    for kind in web bundler nodejs; do
        wasm-bindgen --target $kind --out-dir "$bindings/$variant/$kind" \
            "$target/wasm32-unknown-unknown/wasm/aquatope_wasm.wasm"
        # One module serves all targets.
        cmp "$bindings/$variant/$kind/aquatope_wasm_bg.wasm" "$bindings/$variant/web/aquatope_wasm_bg.wasm"
    done
    # shellcheck disable=SC2086
    wasm-opt -Os --strip-producers $features "$bindings/$variant/web/aquatope_wasm_bg.wasm" -o pkg/$module
done
# And one glue serves both modules.
diff -r -x '*.wasm' "$bindings/plain" "$bindings/simd"

glue=$bindings/plain
cp npm/* README.md ../LICENSE-APACHE ../LICENSE-MIT pkg/
cp "$glue/web/aquatope_wasm.js" pkg/aquatope_wasm_web.js
cp "$glue/web/aquatope_wasm.d.ts" pkg/aquatope_wasm_web.d.ts
cp "$glue/bundler/aquatope_wasm_bg.js" pkg/
cp "$glue/bundler/aquatope_wasm.d.ts" pkg/aquatope_wasm_bg.d.ts
cp "$glue/bundler/aquatope_wasm.d.ts" pkg/nodejs.d.cts
# Every Node since 16.4 has SIMD.
sed 's/aquatope_wasm_bg\.wasm/aquatope_wasm_simd_bg.wasm/' "$glue/nodejs/aquatope_wasm.js" >pkg/nodejs.cjs
