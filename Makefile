# On a fresh machine with Python 3.11+, make and git: `make demo` and `make test` do everything.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Most of what comes along is never imported: what is gets compiled then.
INSTALL := $(PIP) install --no-compile -c constraints.txt
DEMO_SERVE ?= 1
FUZZ_SECONDS ?= 300
FUZZ_SEED ?= 0
# What the tests hold curvature and the range test against. Without their own requirements: those bring another torch
# along.
REFERENCES := curvlinops-for-pytorch linear_operator einconv einops tqdm \
  torch-lr-finder matplotlib contourpy cycler fonttools kiwisolver pyparsing

# A file's tests stay together: what they share is made once.
ON_BOTH_CORES := -n 2 --dist loadfile

# Where uv and pip-audit are installed, apart from what they look at.
TOOLS := .tools
MINUTES ?= 60
LOWEST := .venv-lowest
# Of the tests, those that meet most of what is installed; the others ask for tools of their own.
LOWEST_TESTS := tests/test_frame.py tests/test_released.py tests/diagnose/logs/test_reading.py \
  tests/diagnose/logs/test_loading.py tests/diagnose/logs/test_foreign.py tests/diagnose/logs/test_parsed.py \
  tests/diagnose/reports tests/diagnose/test_cli.py tests/hooks/test_monitor.py tests/hooks/test_kept_batch.py \
  tests/dashboard/test_access.py tests/dashboard/test_reduction.py

.PHONY: demo test test-all lint format docs docs-serve clean fuzz faults soak load audit test-lowest

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
	@$(INSTALL) torch numpy
	@$(INSTALL) -e '.[dev]'
	@$(INSTALL) --no-deps $(REFERENCES)
	@touch $@

# The frameworks and Ray, for the slow tests: `make test` has no time for them. torch stays the one that is there.
$(VENV)/integrations: $(VENV)/installed
	@echo "Installing Lightning, Transformers and the like for their tests …"
	@$(INSTALL) -e '.[integrations]'
	@touch $@

# The dashboard's tests click through real pages. Where no browser can be installed they say so.
$(VENV)/browser: $(VENV)/installed
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || (echo "Installing Chromium for the dashboard's tests …"; \
	      $$(test "$$(id -u)" = 0 || echo sudo -n) sh -c 'apt-get -qq update && apt-get -qq install -y chromium' >/dev/null 2>&1) \
	  || echo "Chromium could not be installed: the browser tests will be skipped, or fail under CI."
	@touch $@

faults: $(VENV)/installed
	$(BIN)/python -m tests.faults

soak: $(VENV)/installed
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES)

load: $(VENV)/installed
	$(BIN)/python benchmarks/dashboard_load.py --minutes $(MINUTES)

# --strict: what could not be looked up counts as not sound, rather than as sound.
audit: $(VENV)/installed $(TOOLS)/installed
	$(BIN)/python -m pytest -q tests/test_dependencies.py
	@$(TOOLS)/bin/pip-audit --strict --disable-pip --no-deps -r constraints.txt \
	  || (echo "Not sound, or the service that knows of vulnerabilities could not be reached: see above."; exit 1)

# torch stays as pinned: its lower versions bring gigabytes along. All else is the lowest that pyproject.toml allows.
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest -m "not slow" $(LOWEST_TESTS) \
	  --deselect 'tests/dashboard/test_access.py::test_a_foreign_host_header_is_refused[[]'  # old test clients cannot ask

$(LOWEST)/installed: pyproject.toml constraints.txt $(TOOLS)/installed
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt torch
	@grep '^torch==' constraints.txt > $(LOWEST)/torch.txt
	@$(TOOLS)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
	  --override $(LOWEST)/torch.txt -e .
	@grep -E '^(hypothesis|packaging|playwright|pytest|pytest-timeout|scikit-learn|build|jsonschema)==' constraints.txt \
	  > $(LOWEST)/tools.txt
	@$(TOOLS)/bin/uv pip install --quiet --python $(LOWEST)/bin/python -r $(LOWEST)/tools.txt \
	  'moto[s3,server]>=5' flask-cors s3fs==2024.5.0 setuptools
	@touch $@

$(TOOLS)/installed:
	@test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip --disable-pip-version-check --quiet install 'uv>=0.5' 'pip-audit>=2.7'
	@touch $@

clean:
	rm -rf $(VENV) $(TOOLS) $(LOWEST) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
