# The two commands of the README, and the steps they are made of.
#   make demo   forecast, plan and simulate a 14-day load, write report/report.html, then let the service run part of it
#   make test   everything CI runs
#   make playground   the browser page, built and served on this machine
.DEFAULT_GOAL := help
.PHONY: help setup build demo test lint unit kafka bench-ingest bench-service soak targets no-panic firmware wasm wasm-test wasm-figures playground playground-build playground-test chromium docs book bench clean fuzz miri mutants audit \
  release-check reproducible coverage

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
CARGO ?= cargo
export PATH := $(HOME)/.cargo/bin:$(PATH)

help:
	@sed -n 's/^#   //p' Makefile
	@echo "also: build lint unit kafka bench-ingest bench-service soak targets no-panic firmware wasm wasm-test wasm-figures playground playground-test docs book bench clean fuzz miri mutants audit release-check reproducible coverage"

# Install what is missing: a C compiler, the headers librdkafka needs, and the Rust toolchain of rust-toolchain.toml with its
# targets, which a toolchain that was there before may lack.
PLATFORMS := $(shell sed -n 's/^targets = \[\(.*\)\]/\1/p' rust-toolchain.toml | tr -d '",')
setup:
	@command -v cc >/dev/null && command -v make >/dev/null || \
	  { echo "installing a C compiler"; $(call apt,build-essential); }
	@printf '#include <openssl/ssl.h>\n#include <zlib.h>\n' | cc -E -xc - >/dev/null 2>&1 && command -v pkg-config >/dev/null || \
	  { echo "installing headers of OpenSSL and zlib"; $(call apt,libssl-dev zlib1g-dev pkg-config); }
	@command -v $(CARGO) >/dev/null || { echo "installing rustup"; $(call apt,rustup); } 2>/dev/null || \
	  { $(call apt,curl ca-certificates) && curl -fsS --proto '=https' https://sh.rustup.rs | \
	    sh -s -- -y --profile minimal --default-toolchain none; } || \
	  { echo "no Rust toolchain: install rustup (https://rustup.rs), then run make again" >&2; exit 2; }
	@rustup show active-toolchain >/dev/null 2>&1 || rustup toolchain install
	@rustup -q target add $(PLATFORMS)

apt = SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends $(1)

build: setup
	$(CARGO) build --release --locked -p aquatope

demo: build
	target/release/aquatope demo --report report

test: lint unit targets no-panic firmware wasm-test playground-test docs
	@echo "all checks passed"

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

# Unit, property, golden, integration and documentation tests (lint compiles the benches).
unit: setup kafka
	@command -v python3 >/dev/null || { $(call apt,python3); }
	$(CARGO) test --workspace --locked --no-fail-fast

# Apache Kafka's libraries for the tests of the service, from Maven Central.
KAFKA := host/service/tests/kafka/pom.xml
kafka: target/kafka/lib
target/kafka/lib: $(KAFKA)
	@command -v java >/dev/null && command -v mvn >/dev/null || \
	  { echo "installing Java and Maven"; $(call apt,default-jre-headless maven); }
	rm -rf $@ $@.part
	mvn -q -B -f $(KAFKA) dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$@.part
	mv $@.part $@

# Ingest from Apache Kafka to closed windows on one core, and a restart: what they take.
bench-ingest: setup kafka
	$(CARGO) run --release --locked -q -p aquatope-service --example bench_ingest
	$(CARGO) run --release --locked -q -p aquatope-service --example bench_restart

# The whole service at 10,000 functions: memory, from an event to /metrics, the minute's plan.
bench-service: build kafka
	$(CARGO) run --release --locked -q -p aquatope-service --example bench_service -- target/release/aquatope

# Readers of Kafka killed KILLS times at random instants, their windows compared with the truth: make soak KILLS=1000.
KILLS := 200
soak: setup kafka
	$(CARGO) run --release --locked -q -p aquatope-service --example soak -- $(KILLS)

# The core must build where there is no operating system, with and without its feature.
targets: setup
	$(CARGO) build -p aquatope-core --locked --target thumbv7em-none-eabihf
	$(CARGO) build -p aquatope-core --locked --target thumbv7em-none-eabihf --features serde
	$(CARGO) build -p aquatope-core --locked --target wasm32-unknown-unknown --features serde

# The core cannot panic: with a panic handler that calls what does not exist, every operation of it must link.
no-panic: setup
	cd core/no-panic && $(CARGO) fmt --check && $(CARGO) build --release --locked
	@cd core/no-panic && ! $(CARGO) build --release --locked --features control 2>target/control && \
	  grep -q the_core_can_panic target/control || { echo "core/no-panic links what can panic" >&2; exit 1; }
	@echo "the core links without a panic, and what can panic does not link"

# A study and forecasts on an emulated Cortex-M4 and here: the same bits.
FIRMWARE := core/firmware/target
firmware: setup
	@command -v qemu-system-arm >/dev/null || { echo "installing QEMU"; $(call apt,qemu-system-arm); }
	cd core/firmware && $(CARGO) fmt --check && $(CARGO) clippy --release --locked -- -D warnings && \
	  $(CARGO) run --quiet --release --locked >target/microcontroller && \
	  $(CARGO) run --quiet --release --locked --target $$(rustc --print host-tuple) >target/native
	@grep ^memory $(FIRMWARE)/microcontroller
	@grep -v ^memory $(FIRMWARE)/microcontroller | diff - $(FIRMWARE)/native && \
	  echo "the microcontroller's answers are the native ones, bit for bit"

# The npm package, into wasm/pkg. The command line of wasm-bindgen must be of the version that Cargo.lock has; wasm-pack
# would fetch it, and a wasm-opt of its own choice, and is not asked to.
WASM_BINDGEN := 0.2.130
WASM_PACK := 0.15.1
wasm: setup
	@command -v npm >/dev/null || { echo "installing Node"; $(call apt,nodejs npm); }
	@wasm-bindgen --version 2>/dev/null | grep -qF $(WASM_BINDGEN) || \
	  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 $(CARGO) install wasm-bindgen-cli --version $(WASM_BINDGEN)
	@wasm-pack --version 2>/dev/null | grep -qF $(WASM_PACK) || \
	  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 $(CARGO) install wasm-pack --version $(WASM_PACK) --locked
	cd wasm && npm ci --no-progress
	wasm/build.sh

# The playground, a static page: built into wasm/playground/dist and served on this machine.
playground: playground-build
	cd wasm/playground && npm run preview

playground-build: wasm
	cd wasm/playground && npm ci --no-progress && npm run build

chromium: setup
	@command -v chromedriver >/dev/null && command -v "$${CHROMIUM:-/usr/bin/chromium}" >/dev/null || \
	  { echo "installing Chromium"; $(call apt,chromium chromium-driver); }

# Both of its tabs, driven in Chromium.
playground-test: playground-build chromium
	cd wasm/playground && npm test

# The bindings from Rust, in Node and in Chromium, and the package in Node: the native numbers, strict arguments, sizes, types,
# examples.
API_TESTS := wasm --locked --profile wasm --test api
wasm-test: wasm chromium
	wasm-pack test --mode no-install --node $(API_TESTS)
	WASM_BINDGEN_USE_BROWSER=1 WASM_BINDGEN_TEST_TIMEOUT=600 WASM_BINDGEN_TEST_DRIVER_TIMEOUT=100 \
	  wasm-pack test --mode no-install --headless --chrome --chromedriver "$$(command -v chromedriver)" $(API_TESTS)
	cd wasm && npm test

# The figures that depend on the machine: an ask natively and in Chromium, the first paint, frames while tuning.
wasm-figures: playground-build chromium
	cd wasm/playground && node test/figures.mjs

docs: setup
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

# The book, into target/book.
MDBOOK := 0.5.4
book: setup
	@mdbook --version 2>/dev/null | grep -qF $(MDBOOK) || \
	  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 $(CARGO) install mdbook --version $(MDBOOK) --locked --no-default-features --features search
	mdbook build docs

# What would be published: the crates, built from their packages alone, and the npm package; the oldest compiler that
# Cargo.toml promises; documentation as docs.rs builds it; the public interface against the last tag; the systemd unit.
OLDEST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1.0/p' Cargo.toml)
LAST_TAG := $(shell git describe --tags --abbrev=0 2>/dev/null)
release-check: setup wasm docs
	$(CARGO) publish --workspace --dry-run --locked
	cd wasm/pkg && npm pack --dry-run
	@rustup run $(OLDEST) rustc --version || rustup toolchain install $(OLDEST) --profile minimal
	$(CARGO) +$(OLDEST) check --workspace --locked
	$(CARGO) +$(OLDEST) check -p aquatope-core --locked --all-features
	RUSTDOCFLAGS="-D warnings --cfg docsrs" $(CARGO) doc -p aquatope-core --no-deps --locked --all-features
ifeq ($(LAST_TAG),)
	@echo "no release is tagged yet: there is no public interface to compare with"
else
	@command -v cargo-semver-checks >/dev/null || $(CARGO) install cargo-semver-checks --locked
	$(CARGO) semver-checks --workspace --baseline-rev $(LAST_TAG)
endif
	@if command -v systemd-analyze >/dev/null; then \
	  systemd-analyze security --offline=true --threshold=20 --no-pager host/service/deploy/aquatope.service | tail -1; \
	else echo "no systemd here: the unit was NOT checked"; fi

# Two clean builds of the last commit: the same bytes. PARTS="firmware wasm" leaves out the program.
PARTS := firmware wasm program
reproducible: setup wasm
	.ci/reproducible.sh $(PARTS)

# Lines that tests reach, without those of the tests' own files; fails below the goals. COVERED=core leaves out the host.
# Counting makes the tests several times slower and their stack frames larger.
COVERED := core host
LLVM_COV := RUST_MIN_STACK=67108864 $(CARGO) llvm-cov --locked --ignore-filename-regex '(/|_)tests?(\.rs|/)'
coverage: setup kafka
	@rustup component list --installed | grep -q llvm-tools || rustup component add llvm-tools
	@command -v cargo-llvm-cov >/dev/null || $(CARGO) install cargo-llvm-cov --version 0.9.1 --locked
	$(if $(filter core,$(COVERED)),$(LLVM_COV) -p aquatope-core --features serde --fail-under-lines 95)
	$(if $(filter host,$(COVERED)),$(LLVM_COV) $(HOST:%=-p %) --fail-under-lines 80)
HOST := aquatope aquatope-workflow aquatope-openwhisk aquatope-standin aquatope-service

bench: setup
	$(CARGO) bench -p aquatope-benches

# Every fuzz target for SECONDS each, or those of TARGETS: make fuzz SECONDS=3600 TARGETS="gp pool". Needs nightly. Our code
# is free of unsafe code, so no sanitiser. Corpora begin with the seeds of the targets and grow in fuzz/corpus. Optimising each of
# the programs as a whole would take longer than some of their runs.
SECONDS := 20
TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ := CARGO_PROFILE_RELEASE_LTO=off $(CARGO) +nightly fuzz
fuzz: setup
	@rustup run nightly rustc --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
	@command -v cargo-fuzz >/dev/null || $(CARGO) +nightly install cargo-fuzz --version 0.13.2 --locked
	$(CARGO) run --quiet --locked -p aquatope-fuzz --example seeds -- fuzz/corpus
	$(FUZZ) build -s none --features libfuzzer
	@mkdir -p target
	@for target in $(TARGETS); do \
	  $(FUZZ) run -s none --features libfuzzer $$target -- \
	    -max_total_time=$(SECONDS) -max_len=4096 -timeout=20 2>&1 | tee target/fuzz-$$target || exit 1; \
	done
	@for target in $(TARGETS); do \
	  sed -nE "s/^#([0-9]+)[[:space:]]+DONE +cov: ([0-9]+).* corp: ([0-9]+).*/$$target: \1 runs, \2 edges reached, \3 inputs kept/p" target/fuzz-$$target; \
	done

# The unit tests of the core under the Miri interpreter; properties and whole-range tests take hours there.
miri: setup
	@rustup run nightly cargo miri --version >/dev/null 2>&1 || \
	  rustup toolchain install nightly --profile minimal --component miri,rust-src
	PROPTEST_CASES=2 MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test -p aquatope-core --lib -- $(TESTS)

# Tests of the core against changed code: what no test notices is listed in mutants.out/missed.txt. One change in 40 of all
# (some 135, two hours), another one with SHARE=1/40; or all in some files: make mutants MUTATED="gp/prior pool/plan".
SHARE := 0/40
MUTATED :=
mutants: setup
	@command -v cargo-mutants >/dev/null || $(CARGO) install cargo-mutants --version 27.1.0 --locked
	$(CARGO) mutants -p aquatope-core --features serde -j1 --timeout 240 --minimum-test-timeout 60 \
	  $(if $(MUTATED),$(MUTATED:%=--file core/src/%.rs),--shuffle --sharding round-robin --shard $(SHARE)) \
	  -- --lib --test it --test bo

# deny.toml: licences, sources, bans and known weaknesses of all dependencies. The database of weaknesses is fetched;
# OFFLINE=1 leaves them out.
audit: setup
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --version 0.20.2 --locked
	cargo-deny --offline check --hide-inclusion-graph bans licenses sources
ifeq ($(OFFLINE),1)
	@echo "OFFLINE=1: known weaknesses were NOT checked"
else
	cargo-deny fetch db
	cargo-deny check --disable-fetch advisories
endif

clean:
	$(CARGO) clean
	rm -rf report
