# Each target does its own set-up: a fresh machine with Python 3.11+ and pip is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Public tables that are on this machine already; what the environment names comes first.
ifneq ($(wildcard ../shared/data/.),)
export FEDCREDIT_DATA_MIRROR ?= $(abspath ../shared/data)
endif

.PHONY: help setup run study check test test-all test-slow test-consortium test-notebooks format docs clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip<27"
	$(BIN)/pip install --quiet -e ".[dev]"
	@touch $(STAMP)

setup: $(STAMP)  ## .venv with the package and all its extras

run: $(STAMP)  ## the quickstart: five banks, an LSTM, epsilon 3, a report; ENGINE=superlink: as a consortium over TLS
ifeq ($(ENGINE),superlink)
	$(BIN)/fedcredit consortium demo
else
	$(BIN)/fedcredit study run quickstart $(if $(ENGINE),engine=$(ENGINE))
endif

study: $(STAMP)  ## make study NAME=american_bankruptcy
	$(BIN)/fedcredit study run $(NAME)

check: $(STAMP)  ## format, lint, types, import contracts, README blocks; under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/test_readme.py

test: $(STAMP)  ## the quick tests, on two cores
	$(BIN)/pytest -n 2 --dist loadfile

test-all: test test-slow test-consortium test-notebooks  ## everything; with make -k also what comes after a failure

test-slow: $(STAMP)  ## the slow tests of single rooms
	$(BIN)/pytest -m slow -n 2 --dist loadfile --ignore tests/consortium

test-consortium: $(STAMP)  ## the slow tests of whole consortia, one after the other
	$(BIN)/pytest -m slow tests/consortium

test-notebooks: $(STAMP)  ## every notebook from its first cell to its last
	$(BIN)/pytest --nbmake notebooks -W default

format: $(STAMP)  ## write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)  ## write docs/commands.md from the program's help, docs/dictionary.md from the dictionary
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/dictionary.py

clean:  ## remove what set-up and runs made
	rm -rf $(VENV) runs multirun
