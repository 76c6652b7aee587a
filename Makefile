# Two commands do it all on a fresh machine: `make demo` and `make test`.
# Both make .venv, install softlab into it, and go.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
SOFTLAB := $(BIN)/softlab
DATA    := examples/data/totalsegmentator
DEMO    := examples/out/demo.zarr

# Batch targets: make svls IN=labels OUT=soft.zarr OPTIONS="--sigma-mm 1.5"
IN      ?= labels
OUT     ?= soft.zarr
OPTIONS ?=

.PHONY: demo test lint bench data install clean help svls ls onehot info verify nnunet-demo

help:
	@echo "make demo    soft labels of a real CT label map, checked and drawn"
	@echo "make test    linters, types and tests"
	@echo "make bench   speed and memory against other ways of doing the same"
	@echo "make nnunet-demo   soft labels in nnU-Net: preprocess, train, predict (minutes)"
	@echo "make data    bring the real scans of the demo and the tests"
	@echo "make svls IN=labels OUT=soft.zarr [OPTIONS=...]   also ls, onehot"
	@echo "make info OUT=soft.zarr    make verify OUT=soft.zarr"
	@echo "make clean   remove what the targets made"

# ---- set-up ---------------------------------------------------------------

# Packages are installed again only when what we need has changed.
$(VENV)/installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

install: $(VENV)/installed

data: install
	$(BIN)/python examples/get_data.py

# ---- the two commands -----------------------------------------------------

demo: data
	$(SOFTLAB) svls --in $(DATA)/labels --images $(DATA)/images \
	    --classes-from $(DATA)/dataset.json --out $(DEMO)
	$(SOFTLAB) info $(DEMO)
	$(SOFTLAB) verify $(DEMO)
	$(SOFTLAB) preview $(DEMO) --out examples/out/demo.png
	@echo
	@echo "Look at examples/out/demo.png; the soft labels are in $(DEMO)."

test: data lint
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

nnunet-demo: install
	$(BIN)/python -m pip install --quiet --editable '.[nnunet]'
	$(BIN)/python examples/nnunet/demo.py

# ---- speed ----------------------------------------------------------------

bench: install
	$(BIN)/python -m pip install --quiet --constraint tests/benchmarks/constraints.txt '.[bench]'
	$(BIN)/python -m tests.benchmarks --write docs/BENCHMARKS.md

# ---- batches --------------------------------------------------------------

svls ls onehot: install
	$(SOFTLAB) $@ --in $(IN) --out $(OUT) $(OPTIONS)

info verify: install
	$(SOFTLAB) $@ $(OUT) $(OPTIONS)

clean:
	rm -rf examples/out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find softlab_cli tests examples -name __pycache__ -prune -exec rm -rf {} +
