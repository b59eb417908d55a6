# make demo    install the torch-free core into .venv and analyse the examples
# make test    install everything the tests need, then check and test
# make test-slow   the tests that take longer: long fuzzing, network watch, browser, kills of long runs
# make check   style, types and import walls
# make docs    the site in site/
# make bench   measure; every script in benchmarks/ prints its figures
# make reproduce-small   the papers' claims in a small world: pairs of runs in runs/replication, hours; goes on after a kill
#
# PYTHON=python3.12  the interpreter that .venv is made from (3.11 or newer)
# PIP_ARGS=...       extra arguments of pip install
# JOBS=2             processes that test side by side
# TEST_ARGS=...      extra arguments of pytest, such as --hold-bars

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
DEMO_OUT ?= demo-output
JOBS ?= 2
TEST_ARGS ?=
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --disable-pip-version-check --quiet --no-compile $(PIP_ARGS) -c constraints.txt
PROJECT := pyproject.toml constraints.txt
LINTED := src tests tools benchmarks

# Tests start many processes: each would compile torch and transformers anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow check style docs bench reproduce-small clean
.DELETE_ON_ERROR:

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Got $$($(PYTHON) --version 2>&1). Expected Python 3.11 or newer. Run: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: $(PROJECT) | $(PY)
	$(INSTALL) -e '.[video]'
	@touch $@

$(VENV)/.installed-test: $(PROJECT) | $(PY)
	$(INSTALL) -e '.[video,parquet,train,eval,llm,serve,mcp,tools,dev]'
	@touch $@ $(VENV)/.installed-demo

demo: $(VENV)/.installed-demo
	$(VENV)/bin/mien analyze examples --out $(DEMO_OUT) --overlay --report --explain
	@echo
	@echo "Pictures and the table lie in $(DEMO_OUT)/; open $(DEMO_OUT)/report.html in a browser."

style: $(VENV)/.installed-test
	$(PY) -m ruff check $(LINTED)
	$(PY) -m ruff format --check $(LINTED)
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

check: style
	$(PY) -m pytest -q --durations=0 --durations-min=5 tests/architecture

test: style
	PYTHONHASHSEED=0 $(PY) -m pytest -q -n $(JOBS) --dist loadfile $(TEST_ARGS)

# Browser tests run where Chromium is installed too.
$(VENV)/.installed-slow: $(PROJECT) | $(VENV)/.installed-test
	$(INSTALL) -e '.[browser,docs]'
	@touch $@ $(VENV)/.installed-docs

test-slow: $(VENV)/.installed-slow
	$(PY) -m pytest -q -n $(JOBS) --dist loadfile -m 'slow and not hours and not gpu' --durations=20 $(TEST_ARGS)

$(VENV)/.installed-docs: $(PROJECT) | $(PY)
	$(INSTALL) -e '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict --site-dir site
	@echo "Open site/index.html in a browser; its search works once served: $(PY) -m http.server -d site"

bench: $(VENV)/.installed-test
	@set -e; for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(PY) "$$script"; done

reproduce-small: $(VENV)/.installed-test
	$(PY) benchmarks/replication.py --runs runs/replication --jobs $(JOBS)

clean:
	rm -rf $(DEMO_OUT) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
