# What a clone needs, in one word each.  Set-up happens by itself: the first word that needs the
# virtual environment makes it, and makes it again when pyproject.toml has changed.
.POSIX:
.PHONY: help demo lab test bench bench-kafka bench-table matrix soak wheel clean

VENV = .venv
BIN = $(VENV)/bin
# Leave empty to take the first Python that is new enough.
PYTHON =
# A cluster for the demo, as host:port.
KAFKA =
# What of the tests to soak, empty for all.
PART =

help:
	@echo "make demo    set up, replay the bank stream through the notebooks, leave HTML reports;"
	@echo "             KAFKA=host:port does it on a cluster, which gets topics of its own"
	@echo "make lab     set up, open the notebooks in JupyterLab"
	@echo "make test    set up, check style and types, run all tests"
	@echo "make bench   set up, measure speed and memory"
	@echo "make bench-kafka   the same from a Kafka broker, beside other clients"
	@echo "make bench-table   of that, tables of 20 million events, beside other tools"
	@echo "make matrix  live views in the JupyterLabs and kernels that people have"
	@echo "make soak    all tests at their full counts, with the figure of each (hours);"
	@echo "             PART=tests/embedded/test_kill.py runs one file of them"
	@echo "make wheel   build the wheel into dist/"
	@echo "make clean   remove everything that the words above have made"

demo: $(VENV)/installed$(KAFKA:%=-kafka)
	$(BIN)/workbench demo $(KAFKA:%=--log kafka://%)

lab: $(VENV)/installed
	$(BIN)/workbench lab

# Every check runs, whatever the ones before it said; pytest has the last word.
test: $(VENV)/installed-dev
	@failed=; PATH="$$PWD/$(BIN):$$PATH"; export PATH; \
	for check in "ruff check ." "ruff format --check ." "mypy" "lint-imports" \
		"pytest -n 2 --dist loadfile"; do \
		echo "+ $$check"; $$check || failed="$$failed  failed: $$check"; \
	done; \
	if [ -n "$$failed" ]; then echo "$$failed" >&2; exit 1; fi

bench: $(VENV)/installed-dev
	$(BIN)/python -m tests.benchmarks

bench-kafka: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m tests.benchmarks kafka

bench-table: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m tests.benchmarks table

matrix: $(VENV)/installed-dev
	$(BIN)/python -m tests.browser.matrix

soak: $(VENV)/installed-dev
	WORKBENCH_SOAK=1 $(BIN)/pytest --timeout=0 -s -v $(PART)

wheel: $(VENV)/installed-dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) .matrix dist build reports .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment whose Python is gone or too old is made anew.
$(VENV)/installed: pyproject.toml
	@new_enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(BIN)/python -c "$$new_enough" 2>/dev/null; then \
		for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
			$$python -c "$$new_enough" 2>/dev/null && break; \
			python=; \
		done; \
		if [ -z "$$python" ]; then \
			echo "Workbench needs Python 3.11 or newer; try: make PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
		echo "Setting up $(VENV) with $$($$python --version): a few minutes, once"; \
		$$python -m venv --clear $(VENV); \
	fi
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# Groups of dependencies came to pip with version 25.1.
$(VENV)/installed-kafka: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[kafka]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable '.[kafka]' --group dev
	@touch $@
