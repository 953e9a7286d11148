# Two commands set everything up on a machine with Python >= 3.11, pip and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
BENCH := $(BIN)/vrnn-bench

# Neither Ray nor MLflow may call home.
export RAY_USAGE_STATS_ENABLED = 0
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: demo test check lock clean

# Tiny models: a second thread waits longer than it works.
demo: export OMP_NUM_THREADS = 1
demo: $(VENV)/.installed
	$(BENCH) synthesise speech --out $(DEMO)/raw/speech
	$(BENCH) synthesise handwriting --out $(DEMO)/raw/handwriting
	$(BENCH) prepare timit --raw $(DEMO)/raw/speech --out $(DEMO)/shards/speech
	$(BENCH) prepare iam_ondb --raw $(DEMO)/raw/handwriting --out $(DEMO)/shards/handwriting
	$(BENCH) run benchmarks/suites/demo.toml
	$(BENCH) report demo --out $(DEMO)/report.html
	$(BENCH) compare demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

lock: $(VENV)/bin/uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -q -o requirements.lock

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync -q --require-hashes requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	touch $@
