# Every target sets up .venv first, once. Without make: see "Without make" in README.md.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
THREADS ?= 1
QUICK := -m "not slow and not long"
PYTEST = OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m pytest -p tests.kernels --nbval -n 2 --dist loadscope

.PHONY: help run test test-all test-units test-notebooks site slides lab course train bench mutation lint format update lock audit matrix clean

help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## execute all notebooks, write them as HTML under build/
	$(BIN)/python -m detr_steps run

test: $(READY) ## unit tests without the slow ones, and nbval on all notebooks
	$(PYTEST) $(QUICK)

test-all: $(READY) ## all tests: also a killed run, two processes, compilation
	$(PYTEST)

test-units: $(READY) ## unit tests without the slow ones
	$(PYTEST) $(QUICK) tests

test-notebooks: $(READY) ## nbval on all notebooks alone
	$(PYTEST) notebooks

site: $(READY) ## the notebooks' pages as a site, under build/site
	$(BIN)/python -m detr_steps site $(if $(REPOSITORY),--repository $(REPOSITORY))

slides: $(READY) ## a deck of slides for each step, under build/slides
	$(BIN)/python -m detr_steps slides

lab: $(READY) ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --config=detr_steps/notebook/lab_config.py

course: $(READY) ## notebooks for students, solved ones, and pages of both, under build/course
	$(BIN)/python -m detr_steps course

train: $(READY) ## make the shipped weights again (see detr_steps/training/shipped/README.md)
	$(BIN)/python -m detr_steps train --out runs/first --scenes 40000 --steps 30000 \
		--pretrain-steps 6000 --evaluate-every 3000
	$(BIN)/python -m detr_steps train --out runs/shipped --start runs/first/best.safetensors \
		--seed 1 --scenes 40000 --steps 32000 --lr 1.5e-3 --warm-lr 6e-4 --evaluate-every 4000
	cp runs/shipped/best.safetensors detr_steps/training/shipped/scenes.safetensors

bench: $(READY) ## time Step8 beside Hugging Face's DETR, and write the tables and plots
	$(BIN)/python -m detr_steps benchmarks

mutation: $(READY) ## change the package token by token: does a test notice? (hours)
	$(BIN)/python -m tests.mutation --measure

lint: $(READY) ## style of the code, and which part may import which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

format: $(READY) ## mend what `make lint` can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

update: $(READY) ## execute the notebooks and store their outputs, after a change of the package
	$(BIN)/python -m detr_steps run --save
	$(BIN)/python -m detr_steps overview notebooks/overview.png
	$(BIN)/python -m detr_steps gallery notebooks/detections.png

lock: $(READY) ## pin what pyproject.toml needs, with hashes; UPGRADE=--upgrade takes the newest
	$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --universal --no-annotate --no-header \
		--python-version 3.11 --generate-hashes $(UPGRADE) -o requirements.txt

audit: $(READY) ## known vulnerabilities of the pinned packages, as PyPI lists them
	$(BIN)/python -m tests.audit

matrix: $(READY) ## the tests under other Pythons, processors, threads; ONLY="NAME ..." takes some rows
	$(BIN)/python -m tests.matrix $(ONLY)

# TORCH=cpu and TORCH=cuda choose PyTorch's build, else the machine does
$(READY): requirements.txt pyproject.toml
	@BIN=$(BIN) READY=$(READY) PYTHON="$(PYTHON)" TORCH=$(TORCH) sh set_up.sh

clean: ## remove .venv and build
	rm -rf .venv build
