# Darkroom: bare `make` lists what can be done. Nothing here asks a question.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.8
# One worker a processor, each with parts and a system of its own.
TESTS ?= -n auto --dist loadgroup
SETTING = $(foreach one,$(SET),--set '$(subst ','\'',$(one))')
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status test systems check unit integration contract e2e browser chaos prove prove-long bench fmt lint types imports lock deploy-check chart-schema clean nuke

##@ Run

demo: setup ## one order of every recipe at once, watched live, on real parts (PHOTO=file.jpg, EXTERNAL=1, SET="TIMEZONE=Asia/Seoul …")
	@$(BIN)/darkroom demo $(if $(PHOTO),--photo "$(PHOTO)") $(if $(EXTERNAL),--external) $(SETTING)

up: setup ## start the whole system on this machine and leave it running (SET="NAME=VALUE …")
	@$(BIN)/darkroom up $(SETTING)

down: setup ## stop what `up` or `demo` started
	@$(BIN)/darkroom down

status: setup ## what runs, and where
	@$(BIN)/darkroom status

##@ Test

test: setup ## every test but the browser's, on a stack of its own; TESTS= runs them one after another
	@$(BIN)/pytest --ignore=tests/browser $(TESTS)

systems: setup ## docs/systems.md row by row: pass, fail or pending, on the running system
	@$(BIN)/pytest -p tests.support.systems -m system -q $(TESTS)

check: setup lint types imports unit ## what needs no stack: style, types, import contracts, rules

unit: setup ## the pure rules
	@$(BIN)/pytest tests/unit -q $(TESTS)

contract: setup ## the emulator and the library that calls it
	@$(BIN)/pytest tests/contract -q

integration: setup ## our SQL, our AMQP, our HTTP, each on the real part
	@$(BIN)/pytest tests/integration -q

e2e: setup ## the whole system as processes
	@$(BIN)/pytest tests/e2e -q

browser: setup ## the pages in a headless Chromium, on the running system; pictures in .darkroom/browser
	@$(BIN)/python -m deploy.check.browser
	@rm -rf .darkroom/browser
	@$(BIN)/pytest tests/browser -q $(TESTS) --dist loadfile

chaos: setup ## the whole system on a bad day
	@$(BIN)/pytest tests/chaos -q

prove: setup ## pull every plug for two minutes and let the witness judge (SEED=n, REPLAY=file.json)
	@$(BIN)/darkroom prove $(if $(SEED),--seed $(SEED)) $(if $(REPLAY),--replay $(REPLAY))

prove-long: setup ## the same with 100,000 predictions (MINUTES=96; 60 need more than two processors)
	@$(BIN)/darkroom prove --minutes $(or $(MINUTES),96) --predictions 100000 --every 8 --cancels $(if $(SEED),--seed $(SEED))

.PHONY: prove-row
prove-row: setup ## one row of the fault matrix (ROW=F5 TIMES=2; without a ROW: the list)
	@$(BIN)/darkroom prove $(if $(ROW),--row $(ROW),--rows) $(if $(TIMES),--times $(TIMES)) $(if $(SEED),--seed $(SEED))

.PHONY: crash-points
crash-points: setup ## kill -9 at every crash point between two durable steps (TIMES=30 each)
	@$(BIN)/pytest tests/chaos/test_crash_points.py -q --crash-times $(or $(TIMES),1)

.PHONY: fuzz
fuzz: setup ## the API against its document, rightly and wrongly asked (SEED=n EXAMPLES=600 MINUTES=60)
	@$(BIN)/python -m tests.fuzz --seed $(or $(SEED),1) --examples $(or $(EXAMPLES),600) --minutes $(or $(MINUTES),60)

.PHONY: simulation mutants
simulation: setup ## days of trouble in virtual time (DAYS=100000 FROM=12000)
	@$(BIN)/python -m tests.simulation $(or $(FROM),0) --days $(or $(DAYS),12000)

mutants: setup ## each guard taken away in turn: which test misses it (GUARDS="fence signature")
	@$(BIN)/python -m tests.mutation $(GUARDS)

.PHONY: alerts
alerts: setup ## the alerts by Prometheus' own tool: read, seen to fire, seen to stay silent
	@$(BIN)/python -m deploy.local.prometheus

.PHONY: contracts
contracts: setup ## the documents for others, from the code (docs/contracts)
	@$(BIN)/python -m deploy.contracts

.PHONY: commands
commands: setup ## docs/commands.md and what the shell completes from, after a command has changed
	@$(BIN)/python -m deploy.commands

bench: setup ## benchmarks, each with its named reference
	@for bench in ingress latency waterfall orders api fan_in weight finishing sound witness; do $(BIN)/python -m tests.benchmark.$$bench || exit 1; done

##@ Keep

fmt: setup ## format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: setup
	@$(BIN)/mypy

imports: setup
	@$(BIN)/lint-imports

deploy-check: setup ## image, compose file, chart, rules and contracts, each by its own tools (CHECK="lint same", CRDS=folder)
	@$(BIN)/python -m deploy.check $(CHECK)

chart-schema: setup ## write the chart's values.schema.json anew, after a setting has changed
	@$(BIN)/python -m deploy.check.chart_files

lock: setup ## resolve the lock files anew
	@$(UV) pip compile pyproject.toml --extra dev --universal --generate-hashes --no-header -q -o requirements-dev.lock
	@$(UV) pip compile pyproject.toml --extra tracing --universal --generate-hashes --no-header -q -c requirements-dev.lock -o requirements.lock
	@$(UV) pip compile deploy/check/tools.in --universal --generate-hashes --no-header -q -o deploy/check/tools.lock

clean: ## remove the virtual environment and caches
	@rm -rf $(VENV) .tools .mypy_cache .ruff_cache .hypothesis .import_linter_cache

nuke: ## stop everything and delete its data
	@[ ! -x $(BIN)/darkroom ] || $(BIN)/darkroom down
	@rm -rf .darkroom

setup: $(VENV)/.ready

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	@echo "Preparing .venv (once)…"
	@$(PYTHON) -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 14)))' \
		|| { echo "Darkroom needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 …"; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) \
		|| { echo "Python cannot make a virtual environment: apt-get install python3-venv"; exit 1; }
	@[ -x $(UV) ] || $(BIN)/pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync -q --require-hashes requirements-dev.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install -q --no-deps --no-build-isolation -e .
	@touch $@

help:
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*##/ {printf "  %-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
