# All tasks of the project. 'make' alone lists them.
#
#   NODES=3    the number of nodes of the lab (2 for a new lab, otherwise unchanged)
#   LAB=x      another lab beside the default one, with its own addresses and state (.peapod-x)
#   DNS=pods   run the cluster's name server as pods (DNS=process: as a daemon on the master)
#   EGRESS=1   let nodes and pods reach the outside through this host (EGRESS=0: no longer)
#   PYTHON=x   the Python with which .venv is created; VENV=x an environment other than .venv

PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
LABCLI := $(PY) -m deploy.lab $(if $(LAB),--lab $(LAB))
UPFLAGS := $(if $(NODES),--nodes $(NODES)) $(if $(DNS),--dns $(DNS)) $(if $(filter 0,$(EGRESS)),--no-egress,$(if $(EGRESS),--egress))
export PEAPOD_VENV := $(VENV)

.PHONY: help up down stop clean defrag status test check lint unit fuzz bench generate lock \
        test-lowest check-pythons test-release install test-install environment

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@sed -n 's/^#   /  /p' $(MAKEFILE_LIST)

up: install ## bring the lab up: install what is missing, start it, check that the example answers
	@$(LABCLI) up $(UPFLAGS)

down: | $(PY) ## stop and remove the lab on this machine; its state (.peapod) stays, 'make up' brings it back
	@$(LABCLI) down

stop: | $(PY) ## stop only the daemons; containers keep running
	@$(LABCLI) stop

defrag: | $(PY) ## make room in the lab's etcd, also when it is so full that nothing can be written
	@$(LABCLI) defrag

clean: | $(PY) ## 'make down', and remove the state
	@$(LABCLI) clean

status: | $(PY) ## show what runs: daemons, nodes, pods
	@$(LABCLI) status || test $$? -eq 3

test: test-install ## run all tests; the end-to-end tests start their own labs
	@$(PY) -m tests.run

check: lint unit ## run linter, type checks, import checks and unit tests

lint: environment ## lint, types, direction of imports
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet . || { echo "not formatted; next: $(PY) -m ruff format ."; exit 1; }
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

unit: environment ## unit tests
	@$(PY) -m pytest -q tests/unit

fuzz: install ## send tens of thousands of generated requests to the API (FUZZ=n), and the most expensive ones
	@FUZZ=$(or $(FUZZ),25000) $(PY) -m pytest -q tests/integration/apiserver/test_fuzz.py tests/integration/apiserver/test_load.py

bench: install ## measure speed and memory
	@$(PY) -m benchmarks

generate: environment ## generate the API's types from their schema
	@$(PY) -m apimachinery.schema.generate

lock: environment ## update requirements/ to the newest versions of all packages, and run all checks and tests
	@$(PY) -m deploy.lock
	@$(MAKE) check test

test-lowest: test-install ## run the tests with the lowest versions that pyproject.toml allows
	@$(PY) -m deploy.lock --lowest .venv-lowest
	@.venv-lowest/bin/python -m tests.run

check-pythons: environment ## 'make check' on each supported Python
	@$(PY) -m tests.pythons

test-release: test-install ## 'make up', 'make test', 'make down' in a bare Debian (RELEASE=trixie)
	@$(PY) -m tests.release $(or $(RELEASE),trixie)

# What the lab needs: Debian's packages, and .venv.
install:
	@$(PYTHON) -m deploy.lab.bootstrap

# That, and what the tests run besides.
test-install:
	@$(PYTHON) -m deploy.lab.bootstrap --tests

# .venv alone, which needs no root.
environment:
	@$(PYTHON) -m deploy.lab.bootstrap --python-only

$(PY):
	@$(PYTHON) -m deploy.lab.bootstrap --python-only
