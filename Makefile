# Two commands do everything: `make reproduce` and `make test`. Both set up the environment first if it is not there.

VENV       ?= .venv
PROFILE    ?= smoke
EXPERIMENT ?=
PARAMS     ?=
SEEDS      ?=
# The first of these that is a Python 3.11 to 3.13 makes the environment
PYTHON     ?= python3 python3.13 python3.12 python3.11

BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
FITS    := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
INSTALL := install -r requirements.lock -e '.[test]'
OPTIONS  = --profile $(PROFILE) $(foreach pair,$(PARAMS),-p '$(pair)') $(if $(SEEDS),--seeds $(SEEDS))

# Of `make gpu`: the Python that is given, else that of the environment if there is one
GPU_PYTHON = $(firstword $(if $(filter file,$(origin PYTHON)),$(wildcard $(BIN)/python)) $(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help setup reproduce run cluster report figures test golden mutants gpu faults bench docs lab cells clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo '  PROFILE=smoke|desk|short|paper, EXPERIMENT=name, PARAMS="name=value ...", SEEDS=0,1,2, VENV=folder; for example'
	@echo '  make run EXPERIMENT=cifar10-search PARAMS="order=1 seed=3" PROFILE=paper'

setup: $(STAMP) ## make the environment in .venv (VENV= names another): a minute or two, 6 GB

reproduce: setup ## run every notebook of the profile and write the report
	$(BIN)/repro run --all --profile $(PROFILE)
	$(BIN)/repro report --profile $(PROFILE)

run: setup ## run one experiment: EXPERIMENT=name [PARAMS="name=value ..."] [SEEDS=0,1]
	@[ -n "$(EXPERIMENT)" ] || { echo 'make run needs an experiment: make run EXPERIMENT=cifar10-search PARAMS="order=1";' \
	  'these there are:'; $(BIN)/repro list; exit 2; }
	$(BIN)/repro run $(EXPERIMENT) $(OPTIONS)

cluster: setup ## run every notebook of the profile by two workers of this machine, as on a cluster
	$(BIN)/repro run --all --profile $(PROFILE) $(if $(SEEDS),--seeds $(SEEDS)) --cluster local:2

report: setup ## write the report of what has been run so far
	$(BIN)/repro report --profile $(PROFILE)

figures: setup ## write the report of what has been run so far into figures/
	$(BIN)/repro report --profile $(PROFILE) --to figures

test: setup ## check the style and run the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n auto --dist loadfile

golden: setup ## compute the numbers that the smoke plan's runs are tested against anew, to be read as a diff
	$(BIN)/python tests/golden.py

mutants: setup ## put a wrong edit into the package, one after another, and list those that no test sees
	$(BIN)/python tests/mutants

gpu: ## run the tests that need a GPU, by PYTHON= or the environment's; torch, numpy and pytest are enough
	$(GPU_PYTHON) -m pytest -m gpu tests/test_gpu.py

faults: setup ## kill, fill and damage runs hundreds of times, give bad input ten thousand times: an hour on two cores
	$(BIN)/python tests/faults

bench: setup ## time every step against a plain formulation, into build/benchmarks: half an hour on two cores
	$(BIN)/python -m benchmarks --memory

docs: setup ## write the reference of every module, from its docstrings, into build/docs: half a minute
	$(BIN)/python -m pdoc --no-show-source repro -o build/docs
	@echo 'Open build/docs/index.html'

cells: setup ## write what stands alike in all notebooks anew: parameters cells, the cell that installs, badges
	$(BIN)/python -m repro.execution.fixed_cells

lab: setup ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

clean: ## remove caches; runs/, figures/, data/ and the environment stay
	find repro tests notebooks benchmarks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} + 2>/dev/null || true
	rm -rf .pytest_cache .ruff_cache .hypothesis build
	@echo 'Caches are gone; runs/, figures/, data/ and $(VENV) were not touched.'

$(STAMP): pyproject.toml requirements.lock
	@for python in $(BIN)/python $(PYTHON); do "$$python" -c '$(FITS)' 2>/dev/null && break; python=; done; \
	  [ -n "$$python" ] || { echo 'Python 3.11, 3.12 or 3.13 is needed and none of $(PYTHON) is one:' \
	    'install it, or name it by make PYTHON=/path/to/python3' >&2; exit 1; }; \
	  echo "Setting up $(VENV) with $$("$$python" --version): a minute or two, 6 GB"; \
	  [ "$$python" = $(BIN)/python ] || "$$python" -m venv $(VENV)
	@{ $(BIN)/python -m pip install -q uv && $(BIN)/uv pip $(INSTALL) --compile-bytecode --python $(BIN)/python; } \
	  || { echo 'uv cannot do it here: pip does, in some minutes'; $(BIN)/python -m pip $(INSTALL); }
	@touch $@
