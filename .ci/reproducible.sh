#!/usr/bin/env bash
# Builds the last commit twice, each time from a clean checkout, and compares the bytes: the program, the WebAssembly
# modules, the microcontroller's image. Both checkouts have the same path: Cargo names crates by the path of those they
# depend on outside of their own workspace, so the microcontroller's image is another one elsewhere.
#   .ci/reproducible.sh [program] [wasm] [firmware]      without arguments all three
set -euo pipefail
cd "$(dirname "$0")/.."
parts=${*:-firmware wasm program}
work=$PWD/target/reproducible
cargo=${CARGO:-cargo}
rm -rf "$work"

# build SIDE builds the parts in a fresh checkout and leaves what came of it in $work/SIDE.
build() {
    local side=$work/$1 checkout=$work/checkout
    mkdir -p "$side"
    git clone --quiet --no-hardlinks . "$checkout"
    (
        cd "$checkout"
        unset CARGO_TARGET_DIR CARGO_INCREMENTAL
        for part in $parts; do
            case $part in
            program)
                $cargo build --quiet --release --locked -p aquatope
                cp target/release/aquatope "$side"
                ;;
            wasm)
                (cd wasm && npm ci --no-progress --silent && ./build.sh >/dev/null)
                cp wasm/pkg/*.wasm "$side"
                ;;
            firmware)
                (cd core/firmware && $cargo build --quiet --release --locked)
                cp core/firmware/target/thumbv7em-none-eabihf/release/aquatope-firmware "$side"
                ;;
            esac
        done
    )
    rm -rf "$checkout"
}

build first
build second
diff -r "$work/first" "$work/second"
cd "$work/first"
sha256sum ./*
echo "two clean builds: the same bytes"
