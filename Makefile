# Everything a contributor runs. Each target creates what it needs; all can be repeated.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help check format test unit crds demo down kind-test bench-packing clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 22

$(STAMP): requirements-dev.lock pyproject.toml tools/bootstrap.sh
	@tools/bootstrap.sh $(PYTHON) $(VENV)
	@touch $@

check: $(STAMP)  ## format, lint, types, arrows, generated files up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/builders.py localcluster tools/demo
	PYTHONPATH=operator $(BIN)/lint-imports --no-logo
	PYTHONPATH=operator $(BIN)/python -m bayplan.api.crds --check

format: $(STAMP)  ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

unit: $(STAMP)  ## the tests that need no cluster (a minute or two)
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not cluster and not kubelet"

test: $(STAMP)  ## all tests; builds and starts a real local cluster
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m localcluster build
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not cluster and not kubelet"
	$(BIN)/pytest -q -m "cluster or kubelet" --durations=20

crds: $(STAMP)  ## write crds/ and charts/bayplan-crds from the models
	PYTHONPATH=operator $(BIN)/python -m bayplan.api.crds --write

demo: $(STAMP)  ## the main job on a real local cluster
	PYTHONPATH=operator $(BIN)/python -m tools.demo

down: $(STAMP)  ## stop what the demo left up
	PYTHONPATH=operator $(BIN)/python -m tools.demo --down

kind-test: $(STAMP)  ## the cluster tests on kind (needs Docker)
	BAYPLAN_TEST_CLUSTER=kind $(BIN)/pytest -q -m cluster

bench-packing: $(STAMP)  ## fewest, cheapest nodes: measured against rivals and a proven bound
	PYTHONPATH=operator $(BIN)/python tests/scale/packing/bench.py

clean: down  ## remove the virtual environment
	rm -rf $(VENV)
