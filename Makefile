# Everything a contributor runs. `make help` lists it; a target missing there is a bug.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PYTHON := $(BIN)/python
STAMP := .venv/.installed
UV := .tools/bin/uv
UV_VERSION := 0.13.9
PYTEST := $(BIN)/pytest -q -p no:cacheprovider

.PHONY: help setup check lint types layers unit test verify gen charts e2e proof demo bench bench-scale bench-worker gates fmt clean lock

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything that the other targets need, and build the bench's binaries
	@$(PYTHON) -m e2e.bench build

$(STAMP): locks/dev.txt pyproject.toml
	@tools/setup.sh $(UV_VERSION)
	@touch $@

check: lint types layers unit ## lint, types, layers and unit tests; two minutes when warm

lint: $(STAMP) ## ruff: lint and format
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run 'make fmt'"; exit 1; }

types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy

layers: $(STAMP) ## import-linter: the core is pure, shells don't know each other
	@$(BIN)/lint-imports --no-cache | tail -n 8

unit: $(STAMP) ## the unit tests: no network, no clock, no cluster
	@$(PYTEST) tests

test: check verify charts e2e ## the one command that passes all tests

verify: $(STAMP) ## regenerate everything generated and fail on a diff
	@$(PYTHON) -m tools.generate --check
	@$(PYTHON) -m tools.locks --check $(UV)

gen: $(STAMP) ## write everything that is generated
	@$(PYTHON) -m tools.generate
	@$(PYTHON) -m e2e.bench build --only helm >/dev/null && $(PYTHON) -m tools.chart

lock: $(STAMP) ## pin the dependencies anew, as far as pyproject.toml allows
	@$(PYTHON) -m tools.locks $(UV)

charts: setup ## lint the chart, and compare the rendered manifest
	@$(PYTHON) -m tools.chart --check

e2e: setup ## the promises, on a real control plane
	@$(PYTEST) e2e -m "not proof" --durations=15

proof: setup ## what takes minutes of two quiet cores, such as promise 1 with twenty live calls, in every order
	@$(PYTEST) e2e -m proof -s

demo: setup ## the one command that runs the main job: a fleet, a call, and what to try next
	@$(PYTHON) -m e2e.demo

bench: setup ## a control plane to play with; `python -m e2e.bench --help` knows more
	@$(PYTHON) -m e2e.bench up --foreground

bench-scale: setup ## how fast the operator is with 10,000 pods; some 25 minutes, `python -m e2e.scale --help` knows more
	@$(PYTHON) -m e2e.scale --output build/bench-scale.json

bench-worker: setup ## what a call costs beside a plain livekit-agents agent; some 35 minutes of two quiet cores
	@$(PYTHON) -m e2e.voice_bench --output build/bench-worker.json --plot docs/worker-bench.svg

gates: $(STAMP) ## what fleets cost and lose over whole days and many seeds, beside all baselines; hours of two cores
	@$(PYTHON) -m tools.gates

fmt: $(STAMP) ## format and mend what can be mended
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .

clean: ## remove what the other targets made here; cached binaries stay
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m e2e.bench down --all || true; fi
	@rm -rf .venv .tools dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
