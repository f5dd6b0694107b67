# Everything a fresh machine needs: Python 3.11 or newer, and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PINS   := requirements/newest.txt
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install reproduce test check format notebooks tables golden differential test-oldest test-newest clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, this is {v.major}.{v.minor}; call: make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(PINS) --editable ".[dev]"
	@touch $@

install: $(STAMP)  ## Make the virtual environment and install the library in it

reproduce: $(STAMP)  ## Install, check every claim, write results/
	@$(BIN)/retroevidence reproduce --out results

check: $(STAMP)  ## Lint, formatting, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP) check  ## The same checks, the main job, then the tests
	@$(BIN)/retroevidence reproduce --out results
	$(BIN)/python -m pytest

format: $(STAMP)  ## Sort imports and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: $(STAMP)  ## Run the notebooks in place, keeping their outputs
	$(BIN)/python notebooks/run.py

tables: $(STAMP)  ## Rewrite what is generated in README.md and in data/datapackage.json
	$(BIN)/retroevidence validate --refresh
	$(BIN)/python tests/readme.py

golden: $(STAMP)  ## Rewrite the golden grid by metafor (needs R, metafor 3.8-1, metadat 1.2-0)
	cd tests/golden/grid && Rscript grid.R
	$(BIN)/python tests/golden/grid/compare.py

N ?= 10000
differential: $(STAMP)  ## Compare with metafor on N=10000 random data sets (needs R and metafor)
	$(BIN)/python tests/differential/run.py -n $(N)

test-oldest:  ## Run the tests on the oldest versions the library allows
	$(MAKE) test-pins VENV=.venv-oldest PINS=requirements/oldest.txt

test-newest:  ## Run the tests on the newest versions the registry has
	$(MAKE) test-pins VENV=.venv-newest PINS=/dev/null

# The peers have an environment of their own: none of them is needed here.
BENCH := .venv-bench
.PHONY: bench
bench:  ## Time the same work here and in the peers, write benchmarks/peers.md, multilevel.csv and library.csv
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[scale]" pimeta pymare pymetaanalysis
	$(BENCH)/bin/python benchmarks/peers.py
	$(BENCH)/bin/python benchmarks/multilevel.py
	$(BENCH)/bin/python benchmarks/library.py

.PHONY: test-pins
test-pins: $(STAMP)
	$(BIN)/python -m pytest

clean:  ## Remove results and caches, keep the environment
	rm -rf results .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
