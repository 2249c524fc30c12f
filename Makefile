# Each target makes .venv on a fresh machine, installs what it needs, and runs.
PYTHON ?= python3
BIN := .venv/bin
TORCH := $(shell grep '^torch==' constraints.txt)
# Which versions of the dependencies: those of constraints.txt (pinned), the oldest that pyproject.toml admits, or the newest.
DEPENDENCIES ?= pinned
CONSTRAINTS_pinned := -c constraints.txt
CONSTRAINTS_oldest := -c .venv/oldest.txt
CONSTRAINTS_newest :=
# Two workers with one torch thread each: more threads than cores make small models slower, not faster.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/pytest -n 2 --doctest-modules

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all bench lint format types theory docs mutants build clean distclean

help:
	@echo 'make demo      fit, evaluate and report on real handwritten digits'
	@echo 'make test      lint, types, tests, docstring examples, examples/: what a change must pass'
	@echo 'make test-all  the same with the slow tests'
	@echo 'make bench     speed beside the references, in rounds: about 2 hours on a machine that does nothing else; needs AEVB_DATA'
	@echo '               training 20 min, many models 6, convolutions 20, evaluation 6, data 7, growth 15, long runs 4,'
	@echo '               overheads 8, memory 3, quality 25; QUICK=1 runs all of it small, to see that it works: 8 min'
	@echo 'make mutants   100 random changes of the code, each against the tests of its subject; COUNT=20 for fewer'
	@echo 'make docs      write the pages that are generated from the code, and fail where they change'
	@echo 'make lint      ruff: rules and format          make format  apply what ruff can mend'
	@echo 'make types     pyright                         make theory  the claims of docs/theory.md that are still open'
	@echo 'make build     wheel and source distribution   make clean   remove build products, caches; distclean: .venv too'

install: .venv/.installed

# Torch goes first and alone, so that the build that pip is configured for (CPU or CUDA) is the one that everything else meets.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python tools/oldest.py > .venv/oldest.txt
	$(BIN)/python -m pip install --disable-pip-version-check $(if $(filter newest,$(DEPENDENCIES)),torch,$(TORCH)) $(CONSTRAINTS_$(DEPENDENCIES))
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[all,dev]' $(CONSTRAINTS_$(DEPENDENCIES))
	@touch $@

demo: .venv/.installed
	$(BIN)/aevb demo

test: lint types theory
	$(PYTEST) -m 'not slow' src/aevb tests

test-all: lint types theory
	$(PYTEST) src/aevb tests

mutants: .venv/.installed
	$(BIN)/python tools/mutants.py --count $(or $(COUNT),100) --seed $(or $(SEED),0)

REFERENCES := benchmarks/speed/.references
# Training comes before overheads, which computes from its times when compiling has paid.
BENCHMARKS := products training many convolution data_path encode growth steady overheads memory quality
SMALL := $(if $(QUICK),--quick)

$(REFERENCES)/.installed: benchmarks/speed/references.txt
	$(PYTHON) -m venv $(REFERENCES)
	$(REFERENCES)/bin/python -m pip install --disable-pip-version-check $(TORCH)
	$(REFERENCES)/bin/python -m pip install --disable-pip-version-check -r benchmarks/speed/references.txt
	@touch $@

bench: .venv/.installed $(REFERENCES)/.installed
	for script in $(BENCHMARKS); do $(BIN)/python benchmarks/speed/$$script.py $(SMALL) || exit 1; done
	$(BIN)/python benchmarks/speed/evaluation.py --full $(SMALL)
	$(BIN)/python benchmarks/speed/document.py $(SMALL)

docs: .venv/.installed
	$(BIN)/python docs/write_choose.py
	$(BIN)/python examples/common/presets.py
	git diff --exit-code -- docs/choose docs/presets.md

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The switch keeps pyright from asking the network for newer versions; its JavaScript and node come with the wheels.
types: .venv/.installed
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

theory: .venv/.installed
	$(BIN)/python tests/theory/test_claims.py

build: .venv/.installed
	$(BIN)/python -m pip install --disable-pip-version-check build -c constraints.txt
	$(BIN)/python -m build

clean:
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find src tests examples benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv
