# LakePulse in two commands: `make demo` and `make test`. Both set up what is missing first; `make` alone lists the rest.
BIN := .venv/bin
SETUP := pipelines/stack/bootstrap.sh
DOMAIN ?= shop
.DEFAULT_GOAL := help
.PHONY: help setup airflow demo test faults lint bench clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: ## .venv from exact pins, and the jars; nothing to do when they are there
	@$(SETUP) pipeline

airflow: ## the same, and Airflow in an environment of its own
	@$(SETUP) airflow

demo: airflow ## the whole walk on a simulated shop, or on yours: make demo DATA=events.jsonl.gz DOMAIN=name-or-file
	@$(BIN)/lakepulse demo --domain "$(DOMAIN)" $(if $(DATA),--data "$(DATA)")

test: airflow ## all tests, in two processes; some of them, in one: make test ARGS="tests/io -k once"
	@$(BIN)/python -m pytest $(or $(ARGS),--numprocesses 2 --dist loadfile --no-loadscope-reorder)

faults: airflow ## the long tests: kills in the middle of writes, a whole DAG run
	@$(BIN)/python -m pytest tests/test_exactly_once.py tests/faults $(ARGS)

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## figures beside those of peers; some of them: make bench ARGS="B1 B7"
	@$(BIN)/python -m benchmarks.run $(ARGS)

clean: ## stop the local stack and remove all that was installed and written: .venv, .venv-airflow, .cache, .lakepulse
	@if [ -x $(BIN)/lakepulse ] && [ -d .lakepulse ]; then $(BIN)/lakepulse down; fi
	rm -rf .venv .venv-airflow .cache .lakepulse build dist lakepulse.egg-info
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find pipelines jobs tests dags benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
