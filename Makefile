# Everything a person or a machine does with this folder. It needs Python 3.11 or newer with `venv`, and nothing else;
# `uv` is used where it is installed, because it is faster.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help setup demo test tests lint rules types format crash conformance load soak explore mutate bench lock dist clean

VENV := .venv
BENCH_VENV := .venv-bench
RUN_VENV := .venv-run
BIN := $(VENV)/bin
STAMP := $(VENV)/.assent-ready
BENCH_STAMP := $(BENCH_VENV)/.assent-ready
RUN_STAMP := $(RUN_VENV)/.assent-ready
# Who only looks gets what runs, without the packages of the tests; who has those already needs no second environment.
DEMO_VENV := $(if $(wildcard $(STAMP)),$(VENV),$(RUN_VENV))

# The first interpreter that is new enough, unless the caller names one: make PYTHON=/path/to/python3.12 test
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then command -v "$$name"; break; fi; done)
UV := $(shell command -v uv 2>/dev/null)

# $(call install,FOLDER,REQUIREMENTS): an environment that holds exactly the locked versions and this project, editable.
# The build backend is among the locked ones, so nothing is fetched a second time in a hidden build environment. Bytecode is
# compiled here, because a machine may forbid it later (PYTHONDONTWRITEBYTECODE) and start-up time is a promise.
define install
@if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	echo "assent needs Python 3.11 or newer: none was found on PATH; say make PYTHON=/path/to/python3" >&2; exit 1; fi
@echo "== setting up $(1)"
@test -x $(1)/bin/python || "$(PYTHON)" -m venv $(1)
@if [ -n "$(UV)" ]; then \
	"$(UV)" pip install --quiet --compile-bytecode --python $(1)/bin/python -r $(2); \
	"$(UV)" pip install --quiet --no-deps --no-build-isolation --python $(1)/bin/python -e .; \
else \
	$(1)/bin/python -m pip --version >/dev/null 2>&1 || $(1)/bin/python -m ensurepip >/dev/null; \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check -r $(2); \
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
fi
@$(1)/bin/python -m compileall -q src
@touch $(1)/.assent-ready
endef

# Sources that changed since the set-up are compiled again; those that did not are skipped.
COMPILE = @$(BIN)/python -m compileall -q src

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with everything that is needed; the other commands do it themselves

$(STAMP): pyproject.toml requirements/test.txt
	$(call install,$(VENV),requirements/test.txt)

$(BENCH_STAMP): pyproject.toml requirements/bench.txt
	$(call install,$(BENCH_VENV),requirements/bench.txt)

$(RUN_STAMP): pyproject.toml requirements/run.txt
	$(call install,$(RUN_VENV),requirements/run.txt)

demo: $(DEMO_VENV)/.assent-ready ## one governed run on real files: planned, stopped, approved, killed, resumed, undone, proved
	@$(DEMO_VENV)/bin/python -m compileall -q src
	@if [ -t 0 ]; then $(DEMO_VENV)/bin/assent demo; else $(DEMO_VENV)/bin/assent demo --yes-demo; fi

test: rules ## everything a change must pass: lint, types, floors, tests with coverage
	@$(MAKE) -j 2 types tests

tests: $(STAMP)
	$(COMPILE)
	@echo "== tests"
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term </dev/null

lint: rules types ## format, rules, types, floors, banned names and the catalogue, without the tests

rules: $(STAMP)
	@echo "== format"
	@$(BIN)/ruff format --check .
	@echo "== rules"
	@$(BIN)/ruff check --output-format=concise .
	@echo "== banned names"
	@$(BIN)/python -m tools.check_bans
	@echo "== catalogue of what is built in"
	@$(BIN)/python -m tools.write_catalog --check
	@echo "== floors"
	@$(BIN)/lint-imports --no-logo

# It takes one processor for most of a minute: beside the tests it takes what they leave idle while they wait.
types: $(STAMP)
	@echo "== types"
	@$(BIN)/mypy

format: $(STAMP) ## rewrite the sources in the house's format and mend what can be mended safely
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

crash: $(STAMP) ## the complete crash matrix: every pair of failpoints and every capability, not a sample, and long series
	$(COMPILE)
	@$(BIN)/python -m pytest tests/crash tests/conformance tests/engine/test_calls.py -n auto --complete-crash </dev/null

conformance: $(STAMP) ## from npm: the official suite of MCP against tools behind the gateway of `assent serve`, and servers of others, undone
	$(COMPILE)
	@for page in files repository; do (cd examples/$$page && $$(grep '^npm install' README.md) --no-audit --no-fund --silent); done
	@$(BIN)/python -m pytest tests/docs/test_stories.py -k "files or repository" -q </dev/null
	@$(BIN)/python -W ignore -m tools.mcp_suite </dev/null

load: $(STAMP) ## 2 000 slow calls at once, 10 000 waiting runs, a ledger of 200 000 entries: nothing in doubt, and what they take; the container
	$(COMPILE)
	@$(BIN)/python -m pytest tests/load tests/deploy --load -s -q </dev/null

soak: $(STAMP) ## 20 minutes of mixed load on a daemon that is killed every 20 s (SOAK_S=100 for less): nothing lost, doubled or piled up
	$(COMPILE)
	@$(BIN)/python -m tools.soak $(SOAK_S) </dev/null

explore: $(STAMP) ## search with other dice than `make test` throws: every example and every sampled kill (SEED=n repeats one)
	$(COMPILE)
	@seed=$${SEED:-$$RANDOM}; echo "== seed $$seed"; \
		ASSENT_TEST_SEED=$$seed $(BIN)/python -m pytest -n auto --hypothesis-seed=$$seed </dev/null

mutate: $(STAMP) ## change the rules one operator at a time; the tests of each floor have to notice (COUNT=n, SEED=n, AREA=name)
	@$(BIN)/python -m tools.mutate --count $${COUNT:-100} --seed $${SEED:-0} $${AREA:-}

bench: $(BENCH_STAMP) ## figures beside the peers and the raw limit of the disk; peers live in .venv-bench
	@$(BENCH_VENV)/bin/python -m compileall -q src
	@$(BENCH_VENV)/bin/python benchmarks/run.py

# The locked versions are written without index or host names: which mirror they come from is the machine's own affair.
LOCK = "$(UV)" pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links pyproject.toml
lock: ## write requirements/*.txt anew from the ranges in pyproject.toml (needs uv)
	@test -n "$(UV)" || { echo "make lock needs uv on PATH" >&2; exit 1; }
	@$(LOCK) --group test -o requirements/test.txt
	@$(LOCK) --group run -c requirements/test.txt -o requirements/run.txt
	@$(LOCK) --group bench -c requirements/test.txt -o requirements/bench.txt

dist: $(STAMP) ## a wheel and an sdist of what is committed, and the tag of its version
	@$(BIN)/python -m tools.make_dist

clean: ## remove environments, caches and build results
	@rm -rf $(VENV) $(BENCH_VENV) $(RUN_VENV) dist build htmlcov .coverage .coverage.* \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
