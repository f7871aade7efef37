# Everything one does here. 'make' alone lists it.
#
#   NODES=3    how many nodes the lab has (2 when it is made, then as it is)
#   LAB=x      another lab beside the default one, with addresses and state (.peapod-x) of its own
#   DNS=pods   run the cluster's name server as pods (DNS=process, as a daemon of the master, takes it back)
#   EGRESS=1   let nodes and pods reach the outside through this host (0 takes it back)
#   PYTHON=x   the Python that .venv is made with; VENV=x another environment than .venv

PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
LABCLI := $(PY) -m deploy.lab $(if $(LAB),--lab $(LAB))
UPFLAGS := $(if $(NODES),--nodes $(NODES)) $(if $(DNS),--dns $(DNS)) $(if $(filter 0,$(EGRESS)),--no-egress,$(if $(EGRESS),--egress))
export PEAPOD_VENV := $(VENV)

.PHONY: help up down stop clean status test check lint unit fuzz bench generate lock \
        test-lowest check-pythons test-release install test-install environment

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@sed -n 's/^#   /  /p' $(MAKEFILE_LIST)

up: install ## bring the lab up: install what is missing, start it, prove that the example answers
	@$(LABCLI) up $(UPFLAGS)

down: | $(PY) ## end the lab on this machine; its state (.peapod) stays, 'make up' brings it back
	@$(LABCLI) down

stop: | $(PY) ## stop the daemons only; containers go on running
	@$(LABCLI) stop

clean: | $(PY) ## end the lab and remove its state
	@$(LABCLI) clean

status: | $(PY) ## show what runs: daemons, nodes, pods
	@$(LABCLI) status || test $$? -eq 3

test: test-install ## all tests; the end-to-end ones bring up labs of their own
	@$(PY) -m tests.run

check: lint unit ## lint, types, direction of imports, unit tests

lint: environment
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

unit: environment
	@$(PY) -m pytest -q tests/unit

fuzz: install ## send the API tens of thousands of made-up requests (FUZZ=n)
	@FUZZ=$(or $(FUZZ),25000) $(PY) -m pytest -q tests/integration/apiserver/test_fuzz.py

bench: install ## measure speed and memory
	@$(PY) -m benchmarks

generate: environment ## make the API's types again from their schema
	@$(PY) -m apimachinery.schema.generate

lock: environment ## move requirements/ to the newest versions of all packages, and run everything on them
	@$(PY) -m deploy.lock
	@$(MAKE) check test

test-lowest: test-install ## run the tests on the lowest versions that pyproject.toml allows
	@$(PY) -m deploy.lock --lowest .venv-lowest
	@.venv-lowest/bin/python -m tests.run

check-pythons: environment ## 'make check' on each Python that Peapod promises
	@$(PY) -m tests.pythons

test-release: test-install ## 'make up', 'make test', 'make down' in a bare Debian of its own (RELEASE=trixie)
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
