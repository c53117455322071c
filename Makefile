# All set-up happens by itself: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# Workers of the test run; each computes with one thread
WORKERS ?= 2
# on or off: run the tests as on a CPU that computes bf16, or as on one that does not (default: ask the CPU)
BF16 ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs format clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything installed

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or later is needed, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." \
	    "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@if [ -e $(VENV) ] && ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "$(VENV) has no working Python 3.11 or later: remove it (rm -r $(VENV)) and try again." >&2; exit 2; fi
ifneq ($(UV),)
	test -e $(BIN)/python || $(UV) venv --python $(PYTHON) $(VENV)
	$(UV) pip install --python $(BIN)/python -c constraints.txt -e '.[embedded,ray,docs,dev]'
else
	test -e $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --version >/dev/null || $(BIN)/python -m ensurepip --upgrade
	$(BIN)/python -m pip install --quiet --use-pep517 -c constraints.txt -e '.[embedded,ray,docs,dev]'
endif
	@# The path to this folder relative and so in ASCII: Python does not start under LC_ALL=C with one that is not
	for file in $(VENV)/lib/python*/site-packages/_editable_impl_adapterstilts.pth; do echo ../../../.. > "$$file"; done
	touch $@

demo: $(STAMP)  ## run the main job on bundled data (a few minutes on two cores)
	$(BIN)/adapterstilts demo

test: $(STAMP)  ## run all tests (BF16=on or BF16=off: as on a CPU with or without bf16)
	ADAPTERSTILTS_CPU_BF16=$(BF16) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

check: $(STAMP)  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## build the documentation's site in site/ (open site/index.html)
	$(BIN)/python scripts/reference_pages.py docs/reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(STAMP)  ## put the code into the standard format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment, caches and builds; results in checkpoints/ stay
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
