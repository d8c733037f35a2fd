# Every target sets up what it needs: a virtual environment in .venv with everything installed.
PYTHON ?= python3
BIN := .venv/bin

TESTS := -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not long"

# One sentence in place of an error of pip; the program runs in every Python, also in version 2.
GOAL := $(or $(firstword $(MAKECMDGOALS)),demo)
define check_python
	@command -v "$(PYTHON)" > /dev/null || { echo "found no $(PYTHON), but lit-cv needs Python 3.11 or later:" \
		"make $(GOAL) PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info < (3, 11) and sys.exit("found Python " + sys.version.split()[0] + \
		" (" + sys.executable + "), but lit-cv needs Python 3.11 or later: make $(GOAL) PYTHON=python3.12")'
endef

.PHONY: demo lecture lecture-page test test-minimum lint docs install clean

demo: install  ## run a small ablation and report it: two arms and a shuffled control, three seeds each
	@echo "demo: nine runs of a small detector and a report, 3 minutes on two CPU cores"
	$(BIN)/litcv sweep sweeps/quickstart.yaml --workers 2
	$(BIN)/litcv sweep sweeps/quickstart_control.yaml --workers 2
	$(BIN)/litcv report runs/quickstart runs/quickstart_control
	@echo
	@echo "Open in a browser: runs/quickstart/report/report.html"
	@echo "Then train a detector yourself:"
	@echo "  source .venv/bin/activate"
	@echo "  litcv fit experiments/quickstart/ssd.yaml"
	@echo "and continue with docs/first-ablation.md, a sweep of your own."

lecture: install  ## run the sweeps of docs/lecture, continue those that were stopped, and write its pages
	$(BIN)/python -m benchmarks.lecture run

lecture-page: install  ## write the pages of docs/lecture from the records of its sweeps
	$(BIN)/python -m benchmarks.lecture pages

# Before Python 3.12, counting lines adds a third to the tests' own time, so that it is left out unless COVERAGE=1.
COUNTED = $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12) and "$(COVERAGE)" != "1")'
CORE = $$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')

test: lint  ## run all tests except the long ones; tests on real data need LITCV_TEST_DATA
	@if $(COUNTED); then \
		COVERAGE_CORE=$(CORE) OMP_NUM_THREADS=1 $(BIN)/python $(TESTS) --cov --cov-report= && \
		echo "lines that the tests' own processes reach: $$($(BIN)/coverage report --format=total) %;" \
			"$(BIN)/coverage report lists the files"; \
	else \
		OMP_NUM_THREADS=1 $(BIN)/python $(TESTS) && \
		echo "lines that the tests reach are not counted in Python 3.11: make test COVERAGE=1 does"; \
	fi

test-minimum: .venv-minimum/installed  ## run the same tests with the oldest versions that pyproject.toml allows
	OMP_NUM_THREADS=1 .venv-minimum/bin/python $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs-installed  ## build the pages of docs/ with the API reference into build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/docs-installed: pyproject.toml
	$(check_python)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group docs
	touch $@

install: .venv/installed

.venv/installed .venv-minimum/installed: %/installed: pyproject.toml
	$(check_python)
	@echo "install: PyTorch and all else into $*, 6 GB; 35 seconds to a few minutes"
	@echo "install: 1 of 3, the environment $* with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $*
	@echo "install: 2 of 3, the installer uv"
	@$*/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	@echo "install: 3 of 3, PyTorch and all other packages"
	@$*/bin/uv pip install --python $*/bin/python --compile-bytecode $(RESOLUTION) \
		--editable ".[captions,export,loggers,timm]" --group dev
	@touch $@
	@echo "install: done; in every new shell: source $*/bin/activate"

.venv-minimum/installed: RESOLUTION := --resolution lowest-direct

clean:
	rm -rf .venv .venv-minimum .coverage runs data
