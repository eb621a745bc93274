#!/usr/bin/env bash
# Builds the last commit twice, clean, in two folders of different names, and compares the bytes: the program, the
# WebAssembly modules, the microcontroller's image. The first difference fails.
#   .ci/reproducible.sh [program] [wasm] [firmware]      without arguments all three
set -euo pipefail
cd "$(dirname "$0")/.."
parts=${*:-firmware wasm program}
work=$PWD/target/reproducible
cargo=${CARGO:-cargo}
rm -rf "$work"

# build SIDE FOLDER builds the parts in a fresh checkout and leaves what came of it in $work/SIDE.
build() {
    local side=$work/$1 checkout=$work/$2
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

build first a
build second a-folder-of-another-length
diff -r "$work/first" "$work/second"
cd "$work/first"
sha256sum ./*
echo "two clean builds in two folders: the same bytes"
