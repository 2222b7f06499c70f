# Everything a contributor runs. Each target creates what it needs; all can be repeated.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
APPLICATIONS := spark kafka mariadb
# What only computes: no clock but its own, no cluster.
COMPUTED := tests/histories tests/laws tests/scheduler

.PHONY: help docs check format test test-faults laws histories scheduler-judge autoscaler unit crds demo down kind-test bench-packing \
	bench-e2e bench-start bench-idle bench-crs bench-due bench-jobs bench-status bench-services bench-waiting bench-lease bench-window \
	hostile jepsen soak clean

help:  ## what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /  make \1\t/' | expand -t 22

$(STAMP): requirements-dev.lock pyproject.toml tools/bootstrap.sh
	@tools/bootstrap.sh $(PYTHON) $(VENV)
	@touch $@

check: $(STAMP)  ## format, lint, types, arrows, generated files up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/builders.py localcluster tools/demo tools/chart.py
	PYTHONPATH=operator $(BIN)/lint-imports --no-logo
	PYTHONPATH=operator $(BIN)/python -m bayplan.api.crds --check
	PYTHONPATH=operator $(BIN)/python -m tools.chart --check
	PYTHONPATH=operator $(BIN)/python -m tools.reference --check
	$(BIN)/python -m tools.vendor --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(STAMP)  ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

unit: $(STAMP)  ## the tests that need no cluster (a minute or two)
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not cluster and not kubelet" --ignore=tests/histories \
	    --ignore=tests/scheduler

test: $(STAMP) browser  ## all tests; builds and starts a real local cluster
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m localcluster build
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m localcluster build helm3 helm4 scheduler-judge
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m localcluster build $(APPLICATIONS)
	$(BIN)/python -m tools.beside "$(BIN)/pytest -q -n 2 --timeout=1500 $(COMPUTED)" \
	    "$(MAKE) --no-print-directory test-in-time"

.PHONY: test-in-time
test-in-time: $(STAMP)  ## of them only: without what just computes (histories, laws, the scheduler's judge)
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not cluster and not kubelet" $(COMPUTED:%=--ignore=%)
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "cluster or kubelet" --ignore=tests/faults \
	    --ignore=tests/autoscaler --ignore=tests/applications --durations=30
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not weekly" tests/applications --durations=10
	$(BIN)/pytest -q -s tests/faults

test-faults: $(STAMP)  ## of them only: crashes after every write, faults by script, two replicas, a storm
	$(BIN)/pytest -q -s tests/faults

laws: $(STAMP)  ## with new examples each time; `make test` has the same ones always
	BAYPLAN_EXAMPLES=new $(BIN)/pytest -q -n 2 tests/laws tests/scheduler

histories: $(STAMP)  ## N=10000 of them, the operator in virtual time with faults; SEED=n tells one; POOLS=1
	PYTHONPATH=operator $(BIN)/python -m tests.histories $(or $(N),10000) $(if $(SEED),--seed $(SEED)) $(if $(POOLS),--pools)

hostile: $(STAMP)  ## N=100000 random and hostile BatchJobs; SEED=n tells one
	PYTHONPATH=operator $(BIN)/python -m tests.hostile $(or $(N),100000) $(if $(SEED),--seed $(SEED))

.PHONY: applications
applications: $(STAMP)  ## Spark, Kafka, MariaDB and a balancer on real kubelets, whole (half an hour)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m localcluster build
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m localcluster build $(APPLICATIONS)
	$(BIN)/pytest -q -s tests/applications

.PHONY: hostile-cli
hostile-cli: $(STAMP)  ## N=20000 random calls of simulate and lint; SEED=n tells one
	PYTHONPATH=operator $(BIN)/python -m tests.hostile.cli $(or $(N),20000) $(if $(SEED),--seed $(SEED))

jepsen: $(STAMP)  ## Jepsen's test of Chronos, with a nemesis, whole (a quarter of an hour); SEED=n
	PYTHONPATH=operator $(BIN)/python -m tests.jepsen $(if $(SEED),--seed $(SEED))

scheduler-judge: $(STAMP)  ## N=20000 random clusters, kube-scheduler's filters beside ours; SEED=n is the first
	PYTHONPATH=operator $(BIN)/python -m tests.scheduler $(or $(N),20000) $(if $(SEED),--seed $(SEED))

autoscaler: $(STAMP)  ## beside a real Karpenter on fake nodes (a quarter of an hour; first time two more)
	$(BIN)/pytest -q -s tests/autoscaler

crds: $(STAMP)  ## write crds/, the charts' copies, the chart's values and reference pages
	PYTHONPATH=operator $(BIN)/python -m bayplan.api.crds --write
	PYTHONPATH=operator $(BIN)/python -m tools.chart --write
	PYTHONPATH=operator $(BIN)/python -m tools.reference --write

docs: $(STAMP)  ## build the documentation site into site/; SERVE=1 shows it at http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(if $(SERVE),serve,build) --strict

demo: $(STAMP)  ## the main job on a real local cluster
	PYTHONPATH=operator $(BIN)/python -m tools.demo

down: $(STAMP)  ## stop what the demo left up
	PYTHONPATH=operator $(BIN)/python -m tools.demo --down

kind-test: $(STAMP)  ## the cluster tests on kind (needs Docker)
	BAYPLAN_TEST_CLUSTER=kind $(BIN)/pytest -q -m cluster

bench-packing: $(STAMP)  ## fewest, cheapest nodes: measured against rivals and a proven bound
	PYTHONPATH=operator $(BIN)/python tests/scale/packing/bench.py

.PHONY: bench-economy
bench-economy: $(STAMP)  ## what nodes cost that Bayplan buys, beside kube-scheduler and a real Karpenter; HALF=1, HOUR=1
	PATH="$(abspath $(BIN)):$$PATH" PYTHONPATH=operator $(BIN)/python -m tests.scale.economy.bench \
	    $(if $(HOUR),--hour) $(if $(HALF),--half --side-by-side) $(if $(SEED),--seed $(SEED))

bench-e2e: $(STAMP)  ## pods a second through a real API server, beside kube-scheduler
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_e2e

bench-start: $(STAMP)  ## cold start with 5,000 nodes, 50,000 pods, 2,000 resources
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_start

bench-idle: $(STAMP)  ## a steady cluster: no write but the lease; SERVICES=1 for 2,000 services
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_idle $(if $(SERVICES),--services)

bench-crs: $(STAMP)  ## 5,000 BatchJobs and 100 status writes a second
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_crs

bench-due: $(STAMP)  ## 1,000 BatchJobs due in one second
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_due

bench-services: $(STAMP)  ## 5,000 instances start; a template of 2,000 changes
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_services

bench-jobs: $(STAMP)  ## 3,000 BatchJobs, each due once a minute, for five minutes; 200 with long runs
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_jobs

bench-status: $(STAMP)  ## 36 BatchJobs due once a minute, and long runs: how far statuses are behind
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_status

bench-waiting: $(STAMP)  ## 1,000 pods wait, nodes come one at a time; FOREIGN=1 for a ReplicaSet's
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_waiting $(if $(FOREIGN),--foreign)

.PHONY: bench-dashboard browser vendor
bench-dashboard: $(STAMP) browser  ## 1,000 nodes and 20,000 pods in a real Chromium; PODS=100000 draws more
	PYTHONPATH=operator $(BIN)/python -m tests.scale.dashboard.bench $(if $(PODS),--pods $(PODS))

browser:  ## install Chromium if it is missing (Debian, as root)
	@command -v chromium google-chrome >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }

vendor: $(STAMP)  ## fetch the browser's libraries of the dashboard anew
	$(BIN)/python -m tools.vendor

bench-window: $(STAMP)  ## nodes at the full hour with 1,000 hourly jobs, by startWindowSeconds
	PYTHONPATH=operator $(BIN)/python -m tests.scale.peak

bench-lease: $(STAMP)  ## MINUTES=30 beside LOAD=20 busy processes: is the lease ever lost
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.bench_lease --minutes $(MINUTES) --load $(or $(LOAD),20)

MINUTES ?= 30
soak: $(STAMP)  ## MINUTES=30 of edits, failures and node churn under the auditor
	PYTHONPATH=operator $(BIN)/python -m tests.scale.e2e.soak --minutes $(MINUTES)

clean: down  ## remove the virtual environment
	rm -rf $(VENV)
