# Targets create the virtual environment .venv with all packages if it is missing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint docs install clean

demo: install  ## run a small ablation and report it: two arms, two seeds, and a shuffled control
	$(BIN)/litcv sweep sweeps/quickstart.yaml --workers 2
	$(BIN)/litcv sweep sweeps/quickstart_control.yaml --workers 2
	$(BIN)/litcv report runs/quickstart runs/quickstart_control

test: lint  ## run all tests except the long ones; tests on real data need LITCV_TEST_DATA
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 3 --dist loadfile -m "not long"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs-installed  ## the pages of docs/ with the API reference, in build/docs; needs nothing but MkDocs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/docs-installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group docs
	touch $@

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --editable ".[captions]" --group dev
	touch $@

clean:
	rm -rf .venv runs data
