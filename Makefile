# Every target sets up what it needs: a virtual environment in .venv with everything installed.
PYTHON ?= python3
BIN := .venv/bin

TESTS := -m pytest -q -n 3 --dist loadfile -m "not long"

.PHONY: demo test test-minimum lint install clean

demo: install  ## an ablation from nothing to a table: two arms, two seeds, and a shuffled control
	$(BIN)/litcv sweep sweeps/quickstart.yaml --workers 2
	$(BIN)/litcv sweep sweeps/quickstart_control.yaml --workers 2
	$(BIN)/litcv report runs/quickstart runs/quickstart_control

test: lint  ## all tests but the long ones; those on real data need LITCV_TEST_DATA
	OMP_NUM_THREADS=1 $(BIN)/python $(TESTS)

test-minimum: .venv-minimum/installed  ## the same tests with the oldest versions that pyproject.toml allows
	OMP_NUM_THREADS=1 .venv-minimum/bin/python $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/installed

.venv/installed .venv-minimum/installed: %/installed: pyproject.toml
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$*/bin/uv pip install --quiet --python $*/bin/python --compile-bytecode $(RESOLUTION) \
		--editable ".[captions,timm]" --group dev
	touch $@

.venv-minimum/installed: RESOLUTION := --resolution lowest-direct

clean:
	rm -rf .venv .venv-minimum runs data
