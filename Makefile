# Everything one does here. 'make' alone lists it.
#
#   NODES=3    how many nodes the lab has (2 when it is made, then as it is)
#   LAB=x      another lab beside the default one, with addresses and state (.peapod-x) of its own
#   DNS=pods   run the cluster's name server as pods (DNS=process, as a daemon of the master, takes it back)
#   EGRESS=1   let nodes and pods reach the outside through this host (0 takes it back)

PYTHON ?= python3
VENV   := .venv/bin/python
LABCLI := $(VENV) -m deploy.lab $(if $(LAB),--lab $(LAB))
UPFLAGS := $(if $(NODES),--nodes $(NODES)) $(if $(DNS),--dns $(DNS)) $(if $(filter 0,$(EGRESS)),--no-egress,$(if $(EGRESS),--egress))

.PHONY: help up down stop clean status test check fuzz bench generate install environment

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@sed -n 's/^#   /  /p' $(MAKEFILE_LIST)

up: install ## bring the lab up: install what is missing, start it, prove that the example answers
	@$(LABCLI) up $(UPFLAGS)

down: | $(VENV) ## end the lab on this machine; its state (.peapod) stays, 'make up' brings it back
	@$(LABCLI) down

stop: | $(VENV) ## stop the daemons only; containers go on running
	@$(LABCLI) stop

clean: | $(VENV) ## end the lab and remove its state
	@$(LABCLI) clean

status: | $(VENV) ## show what runs: daemons, nodes, pods
	@$(LABCLI) status || test $$? -eq 3

test: install ## all tests; the end-to-end ones bring up labs of their own
	@$(VENV) -m pytest tests/unit
	@$(VENV) -m pytest --reruns 2 tests/integration tests/e2e

check: environment ## lint, types, direction of imports, unit tests
	@$(VENV) -m ruff check .
	@$(VENV) -m mypy
	@.venv/bin/lint-imports
	@$(VENV) -m pytest -q tests/unit

fuzz: install ## send the API tens of thousands of made-up requests (FUZZ=n)
	@FUZZ=$(or $(FUZZ),25000) $(VENV) -m pytest -q tests/integration/apiserver/test_fuzz.py

bench: install ## measure speed and memory
	@$(VENV) -m benchmarks

generate: environment ## make the API's types again from their schema
	@$(VENV) -m apimachinery.schema.generate

# What the lab needs: Debian's packages, and .venv.
install:
	@$(PYTHON) -m deploy.lab.bootstrap

# .venv alone, which needs no root.
environment:
	@$(PYTHON) -m deploy.lab.bootstrap --python-only

$(VENV):
	@$(PYTHON) -m deploy.lab.bootstrap --python-only
