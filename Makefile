# `make demo` and `make test` set up all they need in .venv. What there is:
#   make demo    trains on digits, some minutes on two CPU cores
#   make test    runs the tests
#   make lint    checks style, and the numbers of the pages
#   make parity  compares with PyTorch and TensorFlow, and runs the notebooks
#   make wheel   builds the wheel and tries it in an empty environment
#   make floors  runs the tests with the oldest packages that are allowed
#   make clean   deletes the environments
PYTHON ?= python3
TORCH ?= torch>=2.6
DEMO_WORKDIR ?= runs/digits
DEMO_FLAGS ?=
# Two processes: a test spends much of its time in one thread of the compiler.
PYTEST_FLAGS ?= --numprocesses=2 --dist=loadfile --no-loadscope-reorder
FLOORS_TESTS ?= tests --ignore=tests/parity --ignore=tests/notebooks

BIN := .venv/bin

.PHONY: help demo test lint parity floors wheel clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

demo: .venv/demo
	$(BIN)/python main.py --config=configs/digits.py --workdir=$(DEMO_WORKDIR) $(DEMO_FLAGS)

test: .venv/test
	$(BIN)/python -m pytest tests --ignore=tests/parity --ignore=tests/notebooks $(PYTEST_FLAGS)

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python benchmarks/quoted_numbers.py

parity: .venv/parity
	$(BIN)/python -m pytest tests/parity tests/notebooks $(PYTEST_FLAGS)

# What `pip install` gives: the command, the configs and no TensorFlow.
wheel: .venv/pyvenv.cfg
	rm -rf build/wheel
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip install --quiet build/wheel/*.whl
	bash tests/try_wheel.sh build/wheel/venv/bin

# With the oldest packages that pyproject.toml allows. What these need in turn is
# new, and warns of how they use it.
floors: .venv-floors/test
	.venv-floors/bin/python -m pytest $(FLOORS_TESTS) -W default $(PYTEST_FLAGS)

clean:
	rm -rf .venv .venv-floors build

.venv/pyvenv.cfg:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "inception_jax needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

# Stamps of what is installed; each comes again when pyproject.toml changes.
.venv/demo: .venv/pyvenv.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable '.[data,export]'
	touch $@

.venv/test: .venv/pyvenv.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable '.[data,gcs,test]'
	touch $@

.venv/parity: .venv/test
	$(BIN)/pip install --quiet '$(TORCH)'
	$(BIN)/pip install --quiet --editable '.[data,test,parity]'
	$(BIN)/pip install --quiet --no-deps tf_keras
	touch $@

.venv-floors/test: pyproject.toml tests/floors.py
	$(PYTHON) -m venv --clear .venv-floors
	$(PYTHON) tests/floors.py data export test > .venv-floors/constraints.txt
	.venv-floors/bin/pip install --quiet --constraint .venv-floors/constraints.txt --editable '.[data,export,test]'
	touch $@
