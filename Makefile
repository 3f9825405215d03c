# make run    the environment, then the whole pipeline on the demo cohort, to results/demo/report.html
# make test   the tests, in the same environment
# ARGS="..."  is handed to snakemake: make run ARGS="--configfile config/glas.yaml"

PYTHON ?= python3.11
CORES ?= 2
ARGS ?=
BIN := .venv/bin
STUDY ?= demo

.PHONY: env demo run test test-all lint explain verify repair docs clean

env: .venv/ready demo

.venv/ready: envs/requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --progress-bar on -r envs/requirements.txt
	$(BIN)/pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: .venv/ready
	$(BIN)/python -m demo.draw_cohort data/demo

run: env
	$(BIN)/python -m workflow.tools.run --cores $(CORES) $(ARGS)

test: env
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile -m "not slow" $(TESTS)

test-all: env
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile $(TESTS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules

explain: env
	$(BIN)/python -m workflow.tools.explain $(ARGS)

verify: env
	$(BIN)/python -m workflow.tools.verify results/$(STUDY)

repair: env
	$(BIN)/python -m workflow.tools.verify results/$(STUDY) --repair --cores $(CORES) $(ARGS)

docs: env
	$(BIN)/python -m workflow.tools.write_config_readme
	$(BIN)/python -m workflow.tools.write_errors

clean:
	rm -rf results logs .snakemake data/demo
