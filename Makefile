# The verbs of this repository; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
UV := $(VENV)/bin/uv
RUN := $(VENV)/bin
IN_TWO := --numprocesses 2 --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo demo-ticks check test coverage bench cluster cluster-down image generate lock format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Scanplane needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check uv==0.13.9

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/uv
	@echo "Installing Scanplane into $(VENV) ..."
	@$(UV) pip install --quiet --python $(RUN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(RUN)/python --no-deps -e .
	@touch $@

$(VENV)/.development: requirements-dev.lock pyproject.toml | $(VENV)/bin/uv
	@$(UV) pip install --quiet --python $(RUN)/python --require-hashes -r requirements-dev.lock
	@$(UV) pip install --quiet --python $(RUN)/python --no-deps -e .
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime ## Play the whole US market of 2014-03-26 through a live pipeline; ends by itself within 3 minutes
	@$(RUN)/scanplane demo market

demo-ticks: $(VENV)/.runtime ## The same with the real ticks of four symbols on 2013-10-08
	@$(RUN)/scanplane demo ticks

check: $(VENV)/.development ## Lint, types, architecture and the tests that need no server; under 2 minutes
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports
	@$(RUN)/pytest tests/unit $(IN_TWO)

test: check ## Everything: also RabbitMQ, Redis and kube-apiserver for real, and the journeys
	@$(RUN)/python tests/servers.py install
	@$(RUN)/python tests/cluster prepare
	@$(RUN)/pytest tests/integration tests/e2e $(IN_TWO)

coverage: $(VENV)/.development ## Branch coverage of everything but the journeys, processes that tests start included
	@$(RUN)/python tests/servers.py install
	@$(RUN)/pytest tests/unit tests/integration --cov --cov-report=term:skip-covered

bench: $(VENV)/.development ## Measure against the original library, side by side; prints ratios, fails if a goal is missed
	@$(RUN)/python tests/bench --strict

cluster: $(VENV)/.development ## A real one-node Kubernetes in the background, with this source's image; again: loads the newest
	@$(RUN)/python tests/servers.py install
	@$(RUN)/python tests/cluster up

cluster-down: $(VENV)/.development ## End it and remove what it kept
	@$(RUN)/python tests/cluster down

IMAGE ?= localhost/scanplane:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' workloads/scanplane/__init__.py)
image: ## Build the image IMAGE=name:tag with buildah, podman or docker, whichever is there
	@builder=$$(command -v buildah || command -v podman || command -v docker) || { echo "Install buildah, podman or docker."; exit 1; }; \
	case "$$builder" in *docker) same= ;; *) same="--timestamp $$(git log -1 --format=%ct)" ;; esac; \
	"$$builder" build $$same --file images/Containerfile --tag $(IMAGE) .

generate: $(VENV)/.development ## Write every generated file again: crds/ and the chart's, docs/features.md, docs/resources.md, docs/openapi.json, tests/golden/
	@$(RUN)/python -m scanplane.cli.generate
	@PYTHONPATH=tests $(RUN)/python -m support.operator_golden

lock: $(VENV)/bin/uv ## Pin the dependencies of pyproject.toml again, with hashes and no index
	@$(UV) pip compile pyproject.toml --python-version 3.11 --universal --no-emit-index-url --no-header --generate-hashes --quiet -o requirements.lock
	@$(UV) pip compile pyproject.toml --group dev --python-version 3.11 --universal --no-emit-index-url --no-header --generate-hashes --quiet -o requirements-dev.lock
	@echo hatchling | $(UV) pip compile - --constraint requirements-dev.lock --python-version 3.11 --universal --no-emit-index-url --no-header --generate-hashes --quiet -o images/requirements-build.lock

format: $(VENV)/.development ## Format the code
	@$(RUN)/ruff check --fix --quiet . ; $(RUN)/ruff format .

clean: ## Remove the environment and every cache
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
