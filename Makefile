# On a fresh machine with Python 3.11+, make and git: `make demo` and `make test` do everything.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DEMO_SERVE ?= 1
FUZZ_SECONDS ?= 300
FUZZ_SEED ?= 0
# What the tests hold curvature and the range test against. Without their own requirements: those bring another torch
# along.
REFERENCES := curvlinops-for-pytorch linear_operator einconv einops tqdm \
  torch-lr-finder matplotlib contourpy cycler fonttools kiwisolver pyparsing

# A file's tests stay together: what they share is made once.
ON_BOTH_CORES := -n 2 --dist loadfile

.PHONY: demo test test-all lint format docs docs-serve clean fuzz

demo: $(VENV)/installed
	$(BIN)/diagnose demo demo $(if $(filter 0,$(DEMO_SERVE)),--no-serve)

test: $(VENV)/installed $(VENV)/browser lint
	$(BIN)/python -m pytest -m "not slow" $(ON_BOTH_CORES)

test-all: $(VENV)/installed $(VENV)/integrations $(VENV)/browser lint
	$(BIN)/python -m pytest

# Mutated logs of every kind, for so many seconds: the same ones each time, unless FUZZ_SEED says otherwise.
fuzz: $(VENV)/installed
	$(BIN)/python -m tests.fuzzing.fuzz_reader --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed
	$(BIN)/python docs/build_manual.py
	@echo "The manual: build/manual/site/index.html"

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/manual/site 8000

# torch first and pinned: whatever comes later then finds it, instead of fetching another build.
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (some minutes the first time) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt torch numpy
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@$(PIP) install -c constraints.txt --no-deps $(REFERENCES)
	@touch $@

# The frameworks that the slow tests train with: `make test` has no time for them. torch stays the one that is there.
$(VENV)/integrations: $(VENV)/installed
	@echo "Installing Lightning, Transformers and the like for their tests …"
	@$(PIP) install -c constraints.txt -e '.[integrations]'
	@touch $@

# The dashboard's tests click through real pages. Where no browser can be installed they say so.
$(VENV)/browser: $(VENV)/installed
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || (echo "Installing Chromium for the dashboard's tests …"; \
	      $$(test "$$(id -u)" = 0 || echo sudo -n) sh -c 'apt-get -qq update && apt-get -qq install -y chromium' >/dev/null 2>&1) \
	  || echo "Chromium could not be installed: the browser tests will be skipped, or fail under CI."
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
