# Every target sets up what it needs: a virtual environment in .venv with everything installed.
PYTHON ?= python3
BIN := .venv/bin

TESTS := -m pytest -q -n 3 --dist loadfile -m "not long"

.PHONY: demo test test-minimum lint docs install clean

demo: install  ## run a small ablation and report it: two arms, two seeds, and a shuffled control
	$(BIN)/litcv sweep sweeps/quickstart.yaml --workers 2
	$(BIN)/litcv sweep sweeps/quickstart_control.yaml --workers 2
	$(BIN)/litcv report runs/quickstart runs/quickstart_control

test: lint  ## run all tests except the long ones; tests on real data need LITCV_TEST_DATA
	OMP_NUM_THREADS=1 $(BIN)/python $(TESTS) --cov --cov-report=
	@echo "lines that the tests' own processes reach: $$($(BIN)/coverage report --format=total) %; $(BIN)/coverage report lists the files"

test-minimum: .venv-minimum/installed  ## run the same tests with the oldest versions that pyproject.toml allows
	OMP_NUM_THREADS=1 .venv-minimum/bin/python $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs-installed  ## build the pages of docs/ with the API reference into build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/docs-installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group docs
	touch $@

install: .venv/installed

.venv/installed .venv-minimum/installed: %/installed: pyproject.toml
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$*/bin/uv pip install --quiet --python $*/bin/python --compile-bytecode $(RESOLUTION) \
		--editable ".[captions,timm]" --group dev
	touch $@

.venv-minimum/installed: RESOLUTION := --resolution lowest-direct

clean:
	rm -rf .venv .venv-minimum .coverage runs data
