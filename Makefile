# Stampbook. `make help` lists what there is.
PYTHON ?= python3
ARGS ?=
VENV := .venv/bin
# The rules of each service are covered branch by branch, by the tests that take seconds.
DOMAINS := $(foreach service,ledger rewards notify,--cov=services.$(service).domain)
COVERED := $(DOMAINS) --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100
.DEFAULT_GOAL := help
.PHONY: help run test check stack bench chaos docs format lock run-environment test-environment

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

run: run-environment ## the demo: everything in one process (ARGS=--exit leaves at its end)
	@$(VENV)/python -m stampbook up --demo $(ARGS)

test: test-environment ## every test, on a real Kafka and a real PostgreSQL (ARGS go to pytest)
	@$(VENV)/python -m pytest $(or $(ARGS),--full -n 3 --dist loadscope)

check: test-environment ## format, lint, types, import rules, and the tests that take seconds
	@$(VENV)/ruff format --check --quiet .
	@$(VENV)/ruff check --quiet .
	@$(VENV)/mypy
	@$(VENV)/lint-imports --no-logo
	@$(VENV)/python -m pytest -q tests/architecture tests/unit tests/contract $(COVERED)

stack: test-environment ## Kafka and PostgreSQL for a developer's shell, until Ctrl-C
	@$(VENV)/python -m tests.support.stack $(ARGS)

bench: test-environment ## the benchmark: a table, and build/bench.json
	@$(VENV)/python -m tests.bench $(ARGS)

chaos: test-environment ## kill roles at random under load, then check (prints its seed)
	@$(VENV)/python -m tests.chaos $(ARGS)

docs: test-environment ## write the settings into docs/operations.md, the doors into contracts/openapi
	@$(VENV)/python -m tools.operations
	@$(VENV)/python -m tools.openapi

format: test-environment ## put the code into shape
	@$(VENV)/ruff check --quiet --fix . || true
	@$(VENV)/ruff format --quiet .

lock: test-environment ## choose package versions anew and write requirements/*.lock
	@$(VENV)/python tools/lock.py $(ARGS)

run-environment:
	@$(PYTHON) tools/environment.py run

test-environment:
	@$(PYTHON) tools/environment.py test
