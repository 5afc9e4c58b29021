# One command each, the same here and in CI. Needs only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --require-virtualenv install --quiet
# uv installs hashed files ten times as fast, but knows nothing of pip's settings: where these name a mirror, pip does it.
UV := build/env-lock/bin/uv pip install --quiet --python $(BIN)/python --require-hashes
LOCK := build/env-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header
DIR ?= build/demo
# What has to be covered, in percent; less where coverage watches a part of the tests.
LEAST = $(if $(KEELWAY_COVER_ALL),95,90)

.PHONY: help demo test coverage lint types format bench docs lock clean
.DEFAULT_GOAL := help

help:  ## List the commands.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run  ## Run the whole loop on real customer data; DIR=build/demo.
	$(BIN)/keelway demo --dir $(DIR)

# Two workers share the cores: threads of their own in each training would only wait for one another.
test: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.dev  ## Run all tests; coverage watches the quick ones. ARGS='-k ledger' narrows it.
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=$(LEAST) $(ARGS)

coverage: export KEELWAY_COVER_ALL := 1
coverage: test  ## Run all tests and let coverage watch every one of them; half as long again.

lint: $(VENV)/.dev  ## Check style, format and import order.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/.dev  ## Check types.
	$(BIN)/mypy --strict src

format: $(VENV)/.dev  ## Format the code and mend what can be mended.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.run build/env-bench/.done  ## Run the benchmarks; NAME=serving runs one.
	@for file in benchmarks/bench_$(or $(NAME),*).py; do \
		KEELWAY_BENCH_PEER=build/env-bench/bin $(BIN)/python $$file $(ARGS) || exit 1; done

docs: build/env-docs/.done  ## Build the documentation into build/site.
	build/env-docs/bin/zensical build --clean

lock: build/env-lock/.done  ## Compile the hashed requirement files anew.
	$(LOCK) pyproject.toml --extra mlflow --extra objects --extra tuning requirements/run.in --output-file requirements/run.txt
	cd requirements && for name in dev bench docs lock snowflake; do \
		../$(LOCK) $$name.in --output-file $$name.txt || exit 1; done
	cd requirements && ../$(LOCK) --no-deps data.in --output-file data.txt

clean:  ## Remove what was built; keeps the environment and the lock files.
	rm -rf build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# The environment: hashed files only, then the project itself with the hashed build backend; nothing unhashed is fetched.
$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Keelway needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.made requirements/run.txt requirements/data.txt pyproject.toml | build/env-lock/.done
	$(UV) -r requirements/run.txt || $(PIP) --require-hashes -r requirements/run.txt
	$(UV) --no-deps -r requirements/data.txt || $(PIP) --require-hashes --no-deps -r requirements/data.txt
	$(PIP) --no-deps --no-build-isolation --no-index -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(UV) -r requirements/dev.txt || $(PIP) --require-hashes -r requirements/dev.txt
	touch $@

# Tools whose libraries would clash with ours have an environment each.
build/env-%/.done: requirements/%.txt
	$(PYTHON) -m venv build/env-$*
	build/env-$*/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/$*.txt
	touch $@
