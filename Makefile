# `make demo` shows what Serin does; `make test-quick` is for while you work; `make test` is everything that must pass.

CARGO ?= cargo

.PHONY: demo run test test-quick test-wires check fmt lint doc bench bench-micro bench-scale bench-instructions bench-gateways bench-attribution fuzz fuzz-api crashes outage upgrades

# Gateway, sample deployments and users in one process; q or Ctrl-C ends it.
demo:
	@scripts/install-build-deps
	$(CARGO) run --locked -- demo $(ARGS)

# Two sample deployments and the gateway before them, by routes.yaml; Ctrl-C ends all three.
run:
	@scripts/install-build-deps
	@CARGO=$(CARGO) scripts/run-sample

# Seconds once it is built, and nothing to install: unit tests, the rules of the house, and the commands.
test-quick:
	$(CARGO) test --locked --workspace --lib
	$(CARGO) test --locked --test it -- floors:: cli::

# Installs what is missing, then runs every test: unit, integration (through the built binary) and documentation.
test:
	@scripts/install-test-deps
	$(CARGO) test --locked --workspace
	@CARGO=$(CARGO) scripts/test-wires short

# What must hold whatever clients speak: the tests that leave it to the harness, once each by h2c, HTTP/1.1 over TLS and HTTP/2 over TLS.
test-wires:
	@CARGO=$(CARGO) scripts/test-wires whole

# What others write and Serin reads, made up by libFuzzer: ten minutes for each of the targets of fuzz/. `make test` checks their corpora.
fuzz:
	@CARGO=$(CARGO) scripts/fuzz $(ARGS)

# Thousands of random requests to the admin API as every role, others each time: ten minutes. `make test` asks fewer.
fuzz-api:
	@scripts/install-test-deps
	FUZZ_API=1 $(CARGO) test --locked --test it -- --nocapture admin::schemathesis::whatever_is_asked

# A gateway that is killed at 200 random moments of a write load, with files alone and with Redis. `make test` kills it less often.
crashes:
	@scripts/install-test-deps
	CRASHES=200 $(CARGO) test --locked --test it -- --nocapture gateways::crashes::

# A sink that is down for an hour, while gateways are killed ten times and a million requests come; then a million users, each once.
# The gateway is optimised, so that it takes minutes once it is built. `make test` has a fiftieth of it.
outage:
	@scripts/install-test-deps
	$(CARGO) build --locked --release --bin serin
	SERIN_BINARY=$(CURDIR)/target/release/serin OUTAGE=1000000 $(CARGO) test --locked --test it -- --nocapture --test-threads=1 attribution::outage::

# Ten upgrades in a row under 200 connections and 5,000 requests a second; RATE=… asks for another rate. `make test` has a part of it.
RATE ?= 5000
upgrades:
	$(CARGO) build --locked --release --bin serin
	SERIN_BINARY=$(CURDIR)/target/release/serin SERIN_UPGRADE_RATE=$(RATE) $(CARGO) test --locked --test it -- --nocapture upgrade::load::

# The two files that the repository carries.
check:
	$(CARGO) run --locked --quiet -- check routes.yaml
	$(CARGO) run --locked --quiet -- check deploy/reference.yaml

fmt:
	$(CARGO) fmt --all

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# The same job on Serin, nginx, HAProxy and Envoy, installed where they are missing: ten minutes at most once Serin is built.
bench:
	@CARGO=$(CARGO) scripts/bench-peers $(ARGS)

# Deciding and assembling by themselves, beside the engines of Unleash and LaunchDarkly.
bench-micro:
	$(CARGO) bench --locked --bench request_path

# What a request costs against the number of routes, flags, canaries and connections.
bench-scale:
	@CARGO=$(CARGO) scripts/scale $(ARGS)

# What exposures, receipts and traces cost a request, also while sinks are down, and what a million users at once cost (benches/ATTRIBUTION.md).
bench-attribution:
	@CARGO=$(CARGO) scripts/attribution $(ARGS)

# How soon gateways on one Redis know of each other's changes, and what 10,000 registrations cost them (benches/GATEWAYS.md).
bench-gateways:
	@CARGO=$(CARGO) scripts/gateways $(ARGS)

# Instructions per request, beside the least that pingora can do the job with (benches/FLOOR.md).
bench-instructions:
	@CARGO=$(CARGO) scripts/instructions $(ARGS)
