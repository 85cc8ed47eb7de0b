# Sluice. Run `make` for the list of targets.
#
# Everything that is fetched or built lands in .cache/ and bin/, both ignored by
# git and safe to delete. Versions are pinned in bench/parts/*.txt and below.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

GO       ?= go
PYTHON   ?= python3
FUZZTIME ?= 10s
TIMEOUT  ?= 8m

CACHE   := $(CURDIR)/.cache
TOOLS   := $(CACHE)/bin
RUNTIME := $(CACHE)/onnxruntime/libonnxruntime.so
CLIENTS := $(CACHE)/venv/clients/bin/python
GRPC    := $(CACHE)/venv/grpc/bin/python
SERVING := $(CACHE)/venv/tfclients/bin/python
TENSORFLOW := $(CACHE)/venv/tfserving/bin/python
UNITTEST = PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 $(CLIENTS) -m unittest discover --start-directory
SERVE   := bin/sluice serve --backend onnx=examples/digits/models

H2SPEC       := v2.2.1+incompatible
GOLANGCILINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# The version that `sluice version` tells comes from git; outside a checkout, or
# in one that belongs to somebody else, the build goes without.
BUILDVCS = $(shell git rev-parse --verify HEAD >/dev/null 2>&1 && echo auto || echo false)

# Tests run in their package's folder and find the library by this name.
export SLUICE_ONNXRUNTIME ?= $(RUNTIME)

##@ Use

.PHONY: run
run: onnxruntime build ## serve the bundled digits models on the default ports until Ctrl-C
	@echo
	@echo "  Try this in another terminal; the digit is a 0:"
	@echo
	@echo "    curl -d @examples/digits/sample.json localhost:8000/v2/models/digits/infer"
	@echo
	@exec $(SERVE)

.PHONY: build
build: ## build the commands into bin/
	$(GO) build -trimpath -buildvcs=$(BUILDVCS) -o bin/ ./cmd/...

.PHONY: onnxruntime
onnxruntime: ## fetch the ONNX Runtime library into .cache/
	@$(PYTHON) bench/parts/wheels.py runtime

.PHONY: models
models: ## train the digits models anew and write them to examples/digits/models
	examples/digits/build.sh

##@ Test

.PHONY: parts
parts: onnxruntime ## fetch the real clients, models, Triton and the library that tests use
	@PYTHON=$(PYTHON) bench/parts/venv.sh clients
	@PYTHON=$(PYTHON) bench/parts/venv.sh grpc
	@PYTHON=$(PYTHON) bench/parts/venv.sh tfclients
	@$(PYTHON) bench/parts/wheels.py models
	@PYTHON=$(PYTHON) bench/parts/venv.sh triton-models
	@$(PYTHON) bench/parts/triton.py
	@$(MAKE) -s $(TOOLS)/h2spec
	@$(MAKE) -s $(CACHE)/corpus/cases.json $(CACHE)/real/cases.json

# The conformance suite of HTTP/2, which the tests of wire/h2 run.
$(TOOLS)/h2spec:
	@echo "building h2spec $(H2SPEC)" >&2
	@GOBIN=$(TOOLS) GOFLAGS=-buildvcs=false $(GO) install github.com/summerwind/h2spec/cmd/h2spec@$(H2SPEC)

# Generated models, and requests for the real ones, with the answers of Python's
# ONNX Runtime.
$(CACHE)/corpus/cases.json: tests/models/corpus.py tests/models/cases.py bench/parts/clients.txt
	@echo "generating the model corpus in .cache/corpus" >&2
	$(CLIENTS) tests/models/corpus.py $(CACHE)/corpus

$(CACHE)/real/cases.json: tests/models/real.py tests/models/corpus.py $(CACHE)/models/stamp
	@echo "asking Python's ONNX Runtime about the real models, into .cache/real" >&2
	$(CLIENTS) tests/models/real.py $(CACHE)/models $(CACHE)/real

.PHONY: test
test: parts build ## everything that must pass everywhere, with real clients
	$(GO) vet ./...
	$(GO) test -count=1 -shuffle=on -timeout $(TIMEOUT) ./...
	CGO_ENABLED=0 $(GO) build ./...
	$(UNITTEST) tests/clients
	$(subst $(CLIENTS),$(GRPC),$(UNITTEST)) tests/grpc
	$(subst $(CLIENTS),$(SERVING),$(UNITTEST)) tests/tfclients
	$(UNITTEST) tests/pairs
	$(UNITTEST) tests/process
	$(UNITTEST) tests/docs
	$(UNITTEST) tests/models

.PHONY: e2e-kserve
e2e-kserve: onnxruntime build ## MLServer and the KServe SDK's server behind Sluice; fetches 800 MB
	@for part in clients mlserver kserve; do PYTHON=$(PYTHON) bench/parts/venv.sh $$part || exit; done
	$(UNITTEST) tests/kserve

.PHONY: e2e-tfserving
e2e-tfserving: onnxruntime build ## TensorFlow, as TensorFlow Serving, behind Sluice; fetches 500 MB
	@PYTHON=$(PYTHON) bench/parts/venv.sh tfserving
	$(subst $(CLIENTS),$(TENSORFLOW),$(UNITTEST)) tests/tfserving

.PHONY: race
race: parts ## Go tests under the race detector
	$(GO) test -race -count=1 -shuffle=on -timeout $(TIMEOUT) ./...

.PHONY: debug
debug: parts ## Go tests with poisoned buffers and leak stacks (-tags sluicedebug)
	$(GO) test -tags sluicedebug -count=1 -shuffle=on -timeout $(TIMEOUT) ./...

.PHONY: soak
soak: ## a million gRPC calls to endpoints that restart, break connections and reset streams
	SLUICE_SOAK=1000000 $(GO) test -count=1 -timeout 30m -v -run 'Soak$$' ./wire/h2/h2client

.PHONY: soak-shield
soak-shield: parts build ## ten minutes of mutated requests to a real Triton behind Sluice; SLUICE_SEED has others made
	SLUICE_MUTATED=600 $(UNITTEST) tests/clients --pattern test_mutated.py

.PHONY: soak-tritons
soak-tritons: parts build ## two real Tritons under load, killed, frozen and without a model in turns, 20 rounds
	SLUICE_TRITONS=20 $(UNITTEST) tests/process --pattern test_two_tritons.py

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (default 10s) each
	@GO=$(GO) .ci/fuzz $(FUZZTIME)

.PHONY: cover
cover: parts ## Go tests with coverage; the profile is .cache/cover.out
	$(GO) test -count=1 -timeout $(TIMEOUT) -coverpkg=./... -coverprofile=$(CACHE)/cover.out ./...
	@$(GO) tool cover -func=$(CACHE)/cover.out | tail -n 1

##@ Measure

.PHONY: bench
bench: bench-hop bench-batch ## every comparison

.PHONY: bench-hop
bench-hop: build proxies ## what it costs to terminate a request, and to pass a gRPC call on, beside other proxies; 12 minutes
	bin/sluice bench hop -block 1s -max-time 90s -results bench/results
	bin/sluice bench proxy -block 600ms -max-time 90s -results bench/results

.PHONY: bench-batch
bench-batch: build onnxruntime ## what batching brings
	bin/sluice bench batch -results bench/results

.PHONY: proxies
proxies: ## fetch nginx, HAProxy, Envoy and wrk into .cache/, to measure beside
	@PYTHON=$(PYTHON) bench/parts/proxies.sh

##@ Keep

.PHONY: check
check: parts lint ## format, lint, layers, version floors; short tests plain, -race, sluicedebug; build without cgo
	$(GO) test -short -shuffle=on -count=1 -timeout $(TIMEOUT) ./...
	$(GO) test -short -shuffle=on -count=1 -timeout $(TIMEOUT) -race ./...
	$(GO) test -short -shuffle=on -count=1 -timeout $(TIMEOUT) -tags sluicedebug ./...
	CGO_ENABLED=0 $(GO) build ./...

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## gofumpt, vet under all tags, golangci-lint, layers
	$(TOOLS)/golangci-lint fmt --diff
	$(GO) vet ./...
	$(GO) vet -tags sluicedebug ./...
	CGO_ENABLED=0 $(GO) vet ./...
	$(GO) test -count=1 ./internal/layers
	$(TOOLS)/golangci-lint run ./...

.PHONY: format
format: $(TOOLS)/golangci-lint ## rewrite every Go file as gofumpt would
	$(TOOLS)/golangci-lint fmt

# The pin is in the name of an empty file, so that a new one builds the tool anew.
$(TOOLS)/golangci-lint: $(TOOLS)/$(subst /,_,$(GOLANGCILINT)).pin
	GOBIN=$(TOOLS) $(GO) install $(GOLANGCILINT) && touch $@

$(TOOLS)/%.pin:
	@mkdir -p $(TOOLS) && touch $@

##@ Help

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
