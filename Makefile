# Everything a contributor does. Needs make, Python 3.11 or newer and a package index; uses uv when
# it is there, and otherwise gets one into .venv-tools.

SHELL := /bin/sh
# Empty: the first Python that fits. 3.14, say: that one, in an environment of its own.
PYTHON_VERSION ?=
VENV := .venv$(addprefix -,$(PYTHON_VERSION))
TOOLS := .venv-tools
STAMP := $(VENV)/.synced
FLINK := .venv-flink$(addprefix -,$(PYTHON_VERSION))
PYTHON := $(VENV)/bin/python
PYTEST_ARGS ?=
PEERS := build/peers-env
PEERS_ARGS ?=
SEEDS ?= 5000
# Where it matters which event loop the host has; `make soak` runs all tests on uvloop.
ON_UVLOOP := $(addprefix tests/promises/test_,$(addsuffix .py,cancel cancel_races cancelled_calls \
	children closed_jobs concurrency failures fallback forked_children children_that_come_back host_loop hung_threads in_doubt \
	isolation limits loop_refusals one_loop overlap plain_concurrency poison processes race replay retry \
	run_timeout settling signals signals_in_time store_failures timers two_jobs waiting)) \
	$(addprefix tests/,crash/test_sigkill.py integration/test_cli_run.py integration/test_cli_signal.py \
	integration/test_cli_full_disk.py integration/test_garbage.py integration/test_llm.py \
	integration/test_mcp.py unit/test_event_loop.py unit/test_group_commit.py unit/test_timers.py)
PYTHONS := $(or $(addprefix python,$(PYTHON_VERSION)),python3 python3.14 python3.13 python3.12 python3.11)

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-reviews test test-core test-flink test-uvloop simulate soak soak-flink lint typecheck format bench bench-page bench-peers docs pictures clean distclean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-19s %s\n", $$1, $$2}'

venv: $(STAMP)  ## set up .venv from uv.lock

demo: $(STAMP)  ## a real model judges 30 reviews, a SIGKILL half way, nothing paid twice
	@$(PYTHON) examples/review_analysis/demo.py

demo-reviews: $(STAMP)  ## 3,000 reviews without a model, a SIGKILL half way, nothing lost
	@$(PYTHON) examples/product_reviews/demo.py

test: $(if $(PYTEST_ARGS),,test-flink) test-core  ## run the tests; PYTEST_ARGS="-k name" narrows them, without those of Flink

test-core: $(STAMP)  ## the tests without those of Flink
	@PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest --numprocesses=3 --dist=loadfile $(PYTEST_ARGS)

# Flink has wheels for Python 3.11 and 3.12, on Linux x86_64 and macOS. Its 700 MB are in an
# environment of their own, of the same lock; the mini cluster is in pytest's own process.
HAS_FLINK = $(PYTHON) -c "import platform, sys; \
	    sys.exit(not (sys.version_info < (3, 13) and (sys.platform == 'darwin' \
	        or (sys.platform, platform.machine()) == ('linux', 'x86_64'))))"
NO_FLINK = "\#\#\#\# THE TESTS OF FLINK WERE NOT RUN: Flink has no wheels for this Python or machine \#\#\#\#"
test-flink: $(STAMP)  ## the tests of Flink, where Flink has wheels; sets up .venv-flink
	@if $(HAS_FLINK); then \
	  $(MAKE) --no-print-directory $(FLINK)/.synced && \
	  $(FLINK)/bin/python -m pytest tests/flink $(PYTEST_ARGS); \
	else \
	  echo $(NO_FLINK); \
	fi

soak-flink: $(STAMP)  ## on clusters of Flink: 1,600 records with two SIGKILLs, 3,163 reviews everywhere
	@if $(HAS_FLINK); then \
	  $(MAKE) --no-print-directory $(FLINK)/.synced && \
	  $(FLINK)/bin/python -m tests.flink.killed && \
	  $(FLINK)/bin/python -m tests.flink.reviews; \
	else \
	  echo $(NO_FLINK); \
	fi

test-uvloop: $(STAMP)  ## the tests for which the host's event loop matters, on uvloop
	@PERDURE_TEST_EVENT_LOOP=uvloop $(PYTHON) -m pytest --numprocesses=3 --dist=loadfile -q $(or $(PYTEST_ARGS),$(ON_UVLOOP))

simulate: $(STAMP)  ## random agents crashed at every journal write; SEEDS=5000 is how many
	@$(PYTHON) -m perdure.testing.simulation --seeds $(SEEDS)

soak: simulate  ## in full what the tests do a part of; three quarters of an hour on two cores
	@$(PYTHON) -m tests.crash.chaos --seconds 600
	@$(PYTHON) -m tests.damaged_stores --seeds 2000
	@$(PYTHON) -m tests.flink_world --seeds 500
	@$(PYTHON) -m tests.crash.serve_load
	@$(PYTHON) -W ignore -m tests.web.fuzz --examples 300
	@$(MAKE) --no-print-directory soak-flink
	@$(MAKE) --no-print-directory test-uvloop PYTEST_ARGS=tests

lint: $(STAMP) typecheck  ## style, format and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

typecheck: $(STAMP)  ## mypy, strict
	@$(VENV)/bin/mypy

format: $(STAMP)  ## put the code into its form
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format .

bench: $(STAMP)  ## run the benchmarks
	@set -e; for file in benchmarks/bench_*.py; do $(PYTHON) "$$file"; done

bench-page: $(STAMP)  ## the page alone: lists of 100,000 runs, a timeline of 5,000 calls; needs chromium
	@$(PYTHON) benchmarks/bench_page.py

bench-peers: $(STAMP) $(PEERS)/.ready  ## the same cases beside DBOS, LangGraph, absurd and Restate; needs npm
	@$(PYTHON) benchmarks/peers/run.py $(PEERS)/venv/bin/python \
	  $(PEERS)/node_modules/@restatedev/restate-server-*/bin/restate-server $(PEERS_ARGS)

docs: $(STAMP)  ## write what docs/ has from the code again: options, rooms, metrics, names in the journal
	@$(PYTHON) docs/write_configuration.py
	@$(PYTHON) docs/write_architecture.py
	@$(PYTHON) docs/write_journal_names.py
	@$(PYTHON) docs/write_metrics.py
	@$(PYTHON) docs/write_flink_agents_names.py

pictures: $(STAMP)  ## make docs' pictures again, of real runs: a resumed one, and the page; needs chromium
	@$(PYTHON) docs/write_pictures.py
	@$(PYTHON) docs/write_screens.py

clean:  ## remove what building, testing and the demo left behind
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find src tests examples benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean  ## as clean, and remove the environments too
	@rm -rf .venv .venv-3.* .venv-flink* $(TOOLS)

# The first Python that runs and fits, those that the tests ran with before newer ones: a command may
# exist and still fail, as version managers' placeholders do. A uv that only exists is passed over in the same way. It says what it downloads:
# the model of the demo and the tests is 93 MB.
$(STAMP): pyproject.toml uv.lock
	@set -e; \
	python=; \
	for newest in 14 99; do for candidate in $(PYTHONS); do \
	  if $$candidate -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $$newest))" \
	      2>/dev/null; then \
	    python=$$candidate; break 2; \
	  fi; \
	done; done; \
	if [ -z "$$python" ]; then \
	  echo "no usable Python: install Python $(or $(PYTHON_VERSION),3.11 or newer) and put it on PATH" >&2; \
	  exit 1; \
	fi; \
	python=$$($$python -c 'import sys; print(sys.executable)'); \
	uv=uv; \
	if ! uv --version >/dev/null 2>&1; then \
	  uv=$(TOOLS)/bin/uv; \
	  if ! $$uv --version >/dev/null 2>&1; then \
	    echo "no uv here: installing it into $(TOOLS)" >&2; \
    $$python -m venv --clear $(TOOLS); \
	    $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv; \
	  fi; \
	fi; \
	UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$(VENV) VIRTUAL_ENV= \
	  $$uv sync --locked --python "$$python"; \
	touch $(STAMP)

$(FLINK)/.synced: $(STAMP)
	@set -e; \
	uv=uv; uv --version >/dev/null 2>&1 || uv=$(TOOLS)/bin/uv; \
	echo "setting up Flink: 700 MB, a minute or two the first time" >&2; \
	UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$(FLINK) VIRTUAL_ENV= \
	  $$uv sync --quiet --locked --group flink --no-group local-models --python $(PYTHON); \
	touch $@

# An environment of the peers' own, so that nothing of theirs is in perdure's.
$(PEERS)/.ready: benchmarks/peers/requirements.txt benchmarks/peers/package.json
	@set -e; \
	npm --version >/dev/null 2>&1 || { echo "bench-peers needs npm, for Restate's server" >&2; exit 1; }; \
	uv=uv; uv --version >/dev/null 2>&1 || uv=$(TOOLS)/bin/uv; \
	mkdir -p $(PEERS); cp benchmarks/peers/package.json $(PEERS); \
	$$uv venv --quiet --clear --python $(PYTHON) $(PEERS)/venv; \
	$$uv pip install --quiet --python $(PEERS)/venv/bin/python -r benchmarks/peers/requirements.txt; \
	npm install --prefix $(PEERS) --silent --no-fund --no-audit --no-package-lock; \
	touch $@
