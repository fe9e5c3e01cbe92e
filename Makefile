# What one does with this repository. `make` alone lists it.

SHELL := /bin/bash
FUZZ_SECONDS ?= 10
export FUZZ_SECONDS

.DEFAULT_GOAL := help
.PHONY: help build demo test bench fuzz fmt lint

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

HOST := $(shell rustc -vV | sed -n 's/^host: //p')
# With --target, so that what builds the program (its build scripts) is not linked so.
STATIC := RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --package weir --target $(HOST)

build: ## the program, as it ships: one static file
	$(STATIC) --release
	@echo "target/$(HOST)/release/weir"

demo: ## a little shop on this machine: learned from, guarded, attacked, and what came of it
	cargo run --release --locked --package weir -- demo

test: ## everything that CI checks, with the seconds of each stage
	.ci/test

bench: ## micro-benchmarks, Weir beside HAProxy and nothing, HTTP/2 too; as root also behind the redirect, and 2,000 new connections a second
	cargo bench --locked --package weir-benches
	cargo build --release --locked --package weir --package weir-benches
	target/release/side-by-side
	target/release/side-by-side learning
	target/release/side-by-side http2
	target/release/side-by-side pods
	target/release/side-by-side churn

fuzz: ## each fuzz target for FUZZ_SECONDS (10)
	.ci/fuzz

fmt: ## format the code
	cargo fmt --all
	cargo fmt --manifest-path proxy/fuzz/Cargo.toml

lint: ## what clippy and the licence check say
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --manifest-path proxy/fuzz/Cargo.toml -- -D warnings
	.ci/deny
