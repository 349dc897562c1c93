# Ermine: how it is built, tested and measured. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go

# The one program, and what it says of itself.
NODE := rel/bin/node
VERSION = $(shell .ci/version)

# What to test. PKGS=./actors/... narrows most targets.
PKGS ?= ./...
# More flags for `go test`, as in TESTFLAGS="-run TestJoin -v".
TESTFLAGS ?=
# One package's limit, and the whole run's, in seconds.
TEST_TIMEOUT ?= 600s
TEST_TOTAL ?= 900
RACE_TIMEOUT ?= 1200s

# How long each fuzz target runs.
FUZZTIME ?= 30s
# The version is fixed so that a new release of the linter breaks no build.
GOLANGCI := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BENCHSTAT := $(GO) run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# Flags for the load generator; `make bench BENCHFLAGS=-h` tells them.
BENCHFLAGS ?=
# The same for the distribution's part of it.
DISTFLAGS ?=
# For the Go benchmarks: which, how often, and the git revision to compare with.
BENCH ?= .
COUNT ?= 6
BASE ?= HEAD~1
SOAKTIME ?= 10m

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build rel/bin/node with the version stamped in
	@mkdir -p $(dir $(NODE))
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(NODE) ./rel

.PHONY: run
run: build ## build, then run one node in the foreground on embedded defaults
	$(NODE) foreground

.PHONY: test-deps
test-deps: ## install what the tests need (Debian packages, npm packages)
	@.ci/deps test

.PHONY: test
test: test-deps build ## run every test (under 15 minutes on 2 cores)
	timeout --foreground $(TEST_TOTAL) $(GO) test -timeout $(TEST_TIMEOUT) $(TESTFLAGS) $(PKGS)

.PHONY: race
race: test-deps build ## run every test with the race detector
	$(GO) test -race -timeout $(RACE_TIMEOUT) $(TESTFLAGS) $(PKGS)

.PHONY: vet
vet: ## go vet
	$(GO) vet $(PKGS)

.PHONY: lint
lint: ## golangci-lint (its first build takes some minutes)
	$(GOLANGCI) run $(PKGS)

.PHONY: lint-fix
lint-fix: ## mend what the linters can mend themselves
	$(GOLANGCI) run --fix $(PKGS)

.PHONY: fmt
fmt: ## format the code in place
	$(GOLANGCI) fmt

.PHONY: fmt-check
fmt-check:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not gofmt-clean:" $$unformatted; exit 1; fi

.PHONY: check
check: fmt-check vet lint test ## all that a change must pass

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME) $(PKGS)

.PHONY: bench-deps
bench-deps: ## install the brokers that the benchmarks compare with
	@.ci/deps bench

.PHONY: bench
bench: bench-deps build bench-dist ## load Ermine and others in turn and print the ratios
	$(GO) run ./tests/bench $(BENCHFLAGS)

.PHONY: bench-dist
bench-dist: bench-deps ## messages and calls between Ermine nodes and between Erlang nodes
	$(GO) run ./tests/bench/dist $(DISTFLAGS)

.PHONY: bench-go
bench-go: ## the Go micro-benchmarks
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(TESTFLAGS) $(PKGS)

.PHONY: bench-compare
bench-compare: ## compare the Go benchmarks with revision BASE
	@GO='$(GO)' BENCHSTAT='$(BENCHSTAT)' .ci/bench-compare '$(BASE)' '$(BENCH)' $(COUNT) $(PKGS)

.PHONY: conformance
conformance: ## list the normative statements of MQTT that no test names
	$(GO) run ./tests/conformance/statements/list

.PHONY: cover
cover: test-deps build ## test coverage across packages, in cover.out
	$(GO) test -timeout $(RACE_TIMEOUT) -coverpkg=./... -coverprofile=cover.out $(TESTFLAGS) $(PKGS)
	$(GO) tool cover -func=cover.out | tail -n 1

.PHONY: soak
soak: build ## mixed load for SOAKTIME; watches for loss and for growth
	INTEROP_GARBAGE=1m $(GO) test -count=1 -run Garbage ./tests/interop
	$(GO) run ./tests/bench -scenario soak -brokers ermine -rounds 1 -duration $(SOAKTIME) $(BENCHFLAGS)

.PHONY: clean
clean: ## remove what the build and the tests leave
	rm -rf rel/bin cover.out
	$(GO) clean -testcache
