# make start   a virtual environment, the installation, and a first study on digits
# make test    lint, types and tests, in the same environment
# make soak    the fault tests at nightly size: an hour of kills, pauses and full disks
# make book    every experiment of chapter 6, and docs/chapter6.md with their figures
# make bench   the benchmarks; each prints a table of ratios

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: start install test soak book bench lint clean

start: install
	$(BIN)/hpo start --sampler random
	@echo "The command lives in $(BIN). For this shell: source $(BIN)/activate"

install: $(VENV)/installed

# Two processes, which take whole files in their order: the long ones must not come last.
# They start `hpo` a thousand times, and pytest rewrites each test: where Python may not write
# bytecode, all of it would be compiled again and again.
test: $(VENV)/installed-for-tests lint
	@$(BIN)/python -m compileall -q alembic core hpo studies tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

soak: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest --soak tests/fault_tests

book: $(VENV)/installed
	$(BIN)/python docs/chapter6.py

bench: $(VENV)/installed
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/job.py
	$(BIN)/python benchmarks/pruning.py
	$(BIN)/python benchmarks/storage.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/confirm.py

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hpo needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
