# make run   set up and run the main job on the bundled sample
# make test  set up and run linters, type checks and all tests
# make docs  build the documentation's site into build/docs/site, warnings being errors
# make messages  add what is new in the source to the catalogues of src/xingping/locale
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/sample

.PHONY: run test docs format messages clean

run: $(VENV)/.ready
	@$(BIN)/xingping run --movie 疯狂动物城 --out $(OUT)

test: $(VENV)/.ready-dev
	$(BIN)/ruff check src tests benchmarks examples tools
	$(BIN)/mypy
	@# A process for each core, with one thread for its matrix products.
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix src tests benchmarks examples tools
	$(BIN)/ruff format src tests benchmarks examples tools

docs: $(VENV)/.ready-docs
	$(BIN)/python tools/docs.py build
	@echo "Open build/docs/site/index.html"

messages: $(VENV)/.ready
	@mkdir -p build
	$(BIN)/pybabel --quiet extract --mapping-file babel.cfg --no-wrap --add-location file --output build/messages.pot src
	$(BIN)/pybabel --quiet update --domain xingping --input-file build/messages.pot --output-dir src/xingping/locale \
	  --no-wrap --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "xingping needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The constraints pin every version, torch's CPU build among them.
$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Setting up $(VENV) (once, a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs,finetune,ray,ray-serve,serve,tune]'
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) runs
