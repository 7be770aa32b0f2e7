# Everything a person types. Cargo needs a Rust toolchain and a C compiler, nothing else.

# One set of features for every target, so that dependencies are compiled once.
CARGO_FLAGS ?=

# Flags of their own would compile everything again in the usual folder.
SCHEDULES_TARGET ?= $(or $(CARGO_TARGET_DIR),target)/schedules

.PHONY: run test wheel schedules crashes miri fuzz check fmt bench help

help: ## Lists the targets.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

run: ## Builds and starts the server on ./data; every door on loopback, open to local users.
	LUMADB_SECURITY_REQUIRE_AUTH=$${LUMADB_SECURITY_REQUIRE_AUTH:-false} \
		cargo run $(CARGO_FLAGS) --bin lumadb -- serve --data-dir ./data

test: ## Runs every test.
	cargo test $(CARGO_FLAGS) --workspace

wheel: ## Builds the Python package, for this platform, into ./dist; builds a release.
	cargo build $(CARGO_FLAGS) --release --workspace
	python3 crates/python/wheel.py "$${CARGO_TARGET_DIR:-target}/release/lib_lumadb.so" \
		"$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)" dist

schedules: ## Runs the engine's threads in thousands of orders, under a model checker.
	RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=$(SCHEDULES_TARGET) LIGHTNING_SCHEDULES=$${LIGHTNING_SCHEDULES:-1000} \
		cargo test $(CARGO_FLAGS) -p lightning --test schedules

crashes: ## Ten million power losses of the simulated disk, for an hour or two on two cores.
	LIGHTNING_CRASH_FACTOR=$${LIGHTNING_CRASH_FACTOR:-70} \
		cargo test $(CARGO_FLAGS) --release -p lightning --test crash -- --nocapture a_power_loss

miri: ## Runs the tests of the engine's unsafe modules under Miri; needs a nightly toolchain with it.
	MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=$${PROPTEST_CASES:-4} \
		cargo +nightly miri test -p lightning --lib -- memtable::skiplist btree::heads

fuzz: ## Ten minutes of changed bytes in files whose checksums match all the same; needs cargo-fuzz.
	cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run damaged_files -- -max_total_time=$${FUZZ_SECONDS:-600} -timeout=60

check: ## Formatting and lints, as CI has them.
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings

fmt: ## Formats everything.
	cargo fmt --all

bench: ## Compares with PostgreSQL on this machine (needs its server programs), measures memory; builds a release.
	cargo build --release -p lumadb -p lightning --bins --examples
	./bench/run $(or $(CARGO_TARGET_DIR),target)/release/lumadb
	./bench/memory
