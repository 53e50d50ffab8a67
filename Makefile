# One command per habit; `make` alone prints them. Nothing but Python 3.11+ is needed beforehand.

PYTHON ?= python3
BIN := .venv/bin
UV = $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
PYTEST_FLAGS ?=
export STEADFLOW_SHARED ?= $(abspath ../shared)
# Each process would compile all libraries anew: two thirds of a central's start.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test java-cache check format-check lint types imports wheel locks fmt lock kill faults machines growth upgrade sim bench soak join docs screenshots clean \
  compose-test test-tools python-version

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.stamp ## make the environment in .venv (again only when the locks changed)

python-version:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "steadflow needs Python 3.11 or newer: say which with \`make PYTHON=/path/to/python\`" >&2; \
	  exit 2; }

.tools/uv/bin/uv: requirements/uv.txt | python-version
	@echo "no uv in PATH: installing one into .tools"
	@rm -rf .tools/uv
	@$(PYTHON) -m venv .tools/uv 2>/dev/null \
	  && .tools/uv/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt \
	  || { rm -rf .tools/uv; \
	       $(PYTHON) -m pip install --quiet --require-hashes --target .tools/uv -r requirements/uv.txt; } \
	  || { echo "uv cannot be installed: this Python has neither venv nor pip, or no network" >&2; exit 2; }

.venv/.stamp: requirements/dev.txt pyproject.toml | python-version
	@command -v uv >/dev/null 2>&1 || $(MAKE) --no-print-directory .tools/uv/bin/uv
	@$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@$(UV) pip sync --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## start everything with sample traffic, open the live page; Ctrl-C ends it
	@$(BIN)/steadflow demo --home .demo

ALL ?=
test: setup test-tools ## run all tests, on a real Kafka broker; of many like cases some, with ALL=1 every one
	@scratch=$$($(BIN)/python -m tests.scratch) && trap 'rm -rf "$$scratch"' EXIT INT TERM && \
	  TMPDIR=$$scratch STEADFLOW_DRAWN_ALL=$(ALL) JDK_JAVA_OPTIONS="$$($(BIN)/python -m tests.java_cache)" \
	  $(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

java-cache:
	@$(BIN)/python -m tests.java_cache >/dev/null

test-tools:
	@sh tests/install-tools.sh

check: setup ## everything that must hold before a merge
	@$(MAKE) --no-print-directory --jobs 2 \
	  types imports format-check lint locks wheel test-tools java-cache
	@$(MAKE) --no-print-directory test

format-check:
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run \`make fmt\`" >&2; exit 1; }

lint:
	@$(BIN)/ruff check --quiet .

types:
	@$(BIN)/mypy

imports:
	@$(BIN)/lint-imports

locks:
	@$(BIN)/python requirements/lock.py --check

wheel:
	@rm -rf dist
	@$(BIN)/python -m hatchling build --target wheel

fmt: setup ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

lock: setup ## lock dependencies and Kafka's jars again, after a change in pyproject.toml
	@UV=$(UV) $(BIN)/python requirements/lock.py
	@$(BIN)/python -m cli.jars

RUNS ?= 50
kill: setup ## kill processes at random RUNS times under load, and compare both stores
	@rm -f dist/kill.md; mkdir -p dist
	@STEADFLOW_KILL_RUNS=$(RUNS) STEADFLOW_KILL_TABLE=dist/kill.md \
	  $(BIN)/pytest -s tests/faults/test_kill.py && cat dist/kill.md

KINDS ?=
SEED ?=
faults: setup ## inject RUNS=50 faults into a running system, KINDS=kill-primary,switchover only some (SEED= again)
	@rm -f dist/faults.md; mkdir -p dist
	@STEADFLOW_FAULT_RUNS=$(RUNS) STEADFLOW_FAULT_KINDS=$(KINDS) $(if $(SEED),STEADFLOW_FAULT_SEED=$(SEED)) \
	  STEADFLOW_FAULT_TABLE=dist/faults.md \
	  $(BIN)/pytest -s --show-capture=no tests/faults/test_faults.py; status=$$?; \
	  [ ! -f dist/faults.md ] || cat dist/faults.md; exit $$status

machines: setup ## grow to three machines, then have whole ones fail RUNS=50 times (KINDS=kill-primary,cut-witness SEED= FAR_MS=25)
	@rm -f dist/machines.md; mkdir -p dist
	@STEADFLOW_MACHINES_RUNS=$(RUNS) STEADFLOW_MACHINES_KINDS=$(KINDS) STEADFLOW_MACHINES_FAR_MS=$(FAR_MS) \
	  $(if $(SEED),STEADFLOW_MACHINES_SEED=$(SEED)) STEADFLOW_MACHINES_TABLE=dist/machines.md \
	  JDK_JAVA_OPTIONS="$$($(BIN)/python -m tests.java_cache)" \
	  $(BIN)/pytest -s --show-capture=no tests/faults/test_whole_machines.py; status=$$?; \
	  [ ! -f dist/machines.md ] || cat dist/machines.md; exit $$status

growth: setup ## grow to three machines and shrink again RUNS=50 times, each step killed at a random moment (SEED=)
	@STEADFLOW_GROWTH_RUNS=$(RUNS) $(if $(SEED),STEADFLOW_GROWTH_SEED=$(SEED)) \
	  JDK_JAVA_OPTIONS="$$($(BIN)/python -m tests.java_cache)" \
	  $(BIN)/pytest -s --show-capture=no tests/faults/killed_growth.py

upgrade: setup ## grow to three machines of an earlier release (FROM=HEAD^), then upgrade each in turn under load
	@STEADFLOW_UPGRADE_FROM=$(FROM) JDK_JAVA_OPTIONS="$$($(BIN)/python -m tests.java_cache)" \
	  $(BIN)/pytest -s --show-capture=no tests/faults/upgraded_machines.py

SEEDS ?= 10000
sim: setup ## simulate SEEDS=10000 schedules of faults on all cores; prints seeds of violations (SEED= to begin with)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(if $(SEED),--first $(SEED))

bench: setup ## measure the system beside goflow2 and nfcapd, under 10 minutes (QUICK=1: about 2)
	@$(BIN)/python -m bench $(if $(QUICK),--quick)

MINUTES ?= 30
soak: setup ## run the whole system at a steady rate for MINUTES=30: is memory flat, are counts equal?
	@$(BIN)/python -m bench.soak --minutes $(MINUTES)

FLOWS ?= 5000000
join: setup ## join a store of FLOWS=5000000 under load: undisturbed, killed ten times, over a slow link
	@$(BIN)/python -m bench.join --flows $(FLOWS)

compose-test: setup ## bring the containers up, kill some, hosts and machines, compare the centrals, take them down
	@$(BIN)/python -m tests.deploy.rehearsal

screenshots: setup ## take the pictures of docs/screenshots again, in a quarter of an hour
	@$(BIN)/python docs/screenshots.py

docs: setup ## write the generated pages of docs/ again
	@$(BIN)/python docs/generate.py

clean: ## remove what was built, downloaded for the tools, and the demo's data
	@rm -rf .venv .tools .demo dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
