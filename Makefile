# make demo: install and run the main job on built-in data.   make test: install and run every check.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Two spinning OpenMP teams on a small machine slow each other down tenfold; tests use one thread.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OMP_WAIT_POLICY=passive

.DEFAULT_GOAL := help
.PHONY: help demo test nightly lint results science clean

help:
	@echo "make demo     set up .venv, run the main job on phantom data, say where the report lies"
	@echo "make test     set up .venv, lint, type check and run the tests"
	@echo "make nightly  the slow tests as well"
	@echo "make results  (re)run recipes and comparisons, cell by cell, into docs/results.md"
	@echo "make science  (re)run the studies of the claims, cell by cell, into docs/science.md"

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "segclf needs Python 3.11 or newer: make PYTHON=python3.11 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing (about 5 GB, a few minutes) ..."
	$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e '.[dev]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/segclf demo

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: lint
	$(TEST_ENV) $(BIN)/pytest -n 2 --dist loadfile -m "not nightly"

nightly: lint
	$(TEST_ENV) $(BIN)/pytest -n 2 --dist loadfile

results: $(VENV)/installed
	$(BIN)/python -m segclf.study

science: $(VENV)/installed
	$(TEST_ENV) $(BIN)/python -m segclf.study.science

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
