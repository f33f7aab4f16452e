# Each target sets up everything it needs; only Python >= 3.12 and make are assumed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv quickstart test test-all check docs bench clean

venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 12) and 'pm_statmech needs Python 3.12 or later; this is ' + sys.version + '. Try: make PYTHON=python3.13')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

quickstart: .venv/installed
	MPLBACKEND=agg $(BIN)/python examples/quickstart.py

test: .venv/installed
	MPLBACKEND=agg $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not exhaustive"

test-all: .venv/installed
	MPLBACKEND=agg $(BIN)/python -m pytest -n 2 --dist loadgroup

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_structure.py

docs: .venv/docs
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

.venv/bench: .venv/installed
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

bench: .venv/bench
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/evidence.py --seeds 3

clean:
	rm -rf .venv docs/_build docs/_gallery docs/gallery engel.html
