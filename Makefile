# Every target sets up what it needs: a virtual environment in .venv with everything installed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint install clean

demo: install  ## an ablation from nothing to a table: two arms, two seeds, and a shuffled control
	$(BIN)/litcv sweep sweeps/quickstart.yaml --workers 2
	$(BIN)/litcv sweep sweeps/quickstart_control.yaml --workers 2
	$(BIN)/litcv report runs/quickstart runs/quickstart_control

test: lint  ## all tests but the long ones; those on real data need LITCV_TEST_DATA
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 3 --dist loadfile -m "not long"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --editable ".[captions,timm]" --group dev
	touch $@

clean:
	rm -rf .venv runs data
