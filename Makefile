# Everything the project does, from a bare Debian machine with Python 3.10 or newer.
# Each target installs what it needs into .venv; nothing has to be installed by hand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Re-install only when what is to be installed changed.
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml | cksum | cut -d' ' -f1)

.PHONY: help demo test test-browser test-cluster cluster cluster-down test-long bench bench-quick docs lint format clean

help:
	@echo "make demo          JupyterHub with KubeSpawner on an embedded cluster (CLUSTER=current: on yours)"
	@echo "make test          everything that needs no root and no cluster"
	@echo "make test-browser  the pages in headless Chromium"
	@echo "make cluster       a real single-node Kubernetes on this machine (Debian, root)"
	@echo "make test-cluster  the contract and pod suites against the cluster of the current kubeconfig"
	@echo "make test-long     fifty broken watches of 2,000 pods, on an API server of its own (after make cluster)"
	@echo "make cluster-down  stop that cluster and leave nothing behind"
	@echo "make bench         side by side with jupyterhub-kubespawner 7.1.0 (make bench-quick: under 3 minutes)"
	@echo "make docs          the documentation site, in docs/_build/html"
	@echo "make lint          formatting, lint, types, layer contract"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed; $(PYTHON) is older. Set PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: $(STAMP)
	@$(BIN)/python -m kubespawner.cli demo --cluster $(or $(CLUSTER),embedded)

test: $(STAMP)
	$(BIN)/pytest -n 2 --ignore tests/browser tests

test-browser: $(STAMP)
	@command -v chromium >/dev/null || \
	  { echo "Chromium is missing: apt-get install chromium"; exit 1; }
	$(BIN)/pytest tests/browser

bench: $(STAMP)
	$(BIN)/python -m bench run

bench-quick: $(STAMP)
	$(BIN)/python -m bench quick

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cluster: $(STAMP)
	$(BIN)/python -m realcluster up

cluster-down: $(STAMP)
	$(BIN)/python -m realcluster down

test-cluster: $(STAMP)
	KUBESPAWNER_TEST_CLUSTER=current $(BIN)/pytest -n 2 -m "not outage" tests/contract tests/cluster
	KUBESPAWNER_TEST_CLUSTER=current $(BIN)/pytest -m outage tests/cluster

test-long: $(STAMP)
	KUBESPAWNER_TEST_CLUSTER=current $(BIN)/pytest tests/long

clean:
	rm -rf $(VENV) .demo docs/_build docs/_generated .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
