# make run    the environment, then the whole pipeline on the demo cohort, to results/demo/report.html
# make test   the tests, in the same environment
# make new-study SLIDES=folder   a slide sheet and a config for slides of your own, to be filled in
# make doctor CONFIG=file        is everything there that a study needs? what to type where not
# make explain                   what would run, why, and what it costs: hours, disk, memory
# make compare A=results/x B=results/y   how two studies of the same slides differ
# make faults ROWS="1-28 34"      the list of faults, with cases run and passed by row (all, without ROWS)
# make test-nightly              20,000 slides damaged at random; SEEDS=200000 for more
# make test-slurm                a study through a real Slurm on this host; COHORT=demo for the demo
# make audit                     are holes known in what is installed? (needs the network)
# make soak SLIDES=40 KILLS=10   a study killed and starved at random until done, compared with one left in peace
# make view STUDY=demo           look at a study in the browser: slides at full depth, layers over them
# ARGS="..."  is handed to snakemake: make run ARGS="--configfile config/glas.yaml"

PYTHON ?= python3.11
CORES ?= 2
ARGS ?=
BIN := .venv/bin
STUDY ?= demo
COHORT ?= small
SLIDES ?=
NAME ?=
CONFIG ?=
PROFILE ?=
KILLS ?=
SEED ?=
SEEDS ?= 20000
ROWS ?=

.PHONY: env demo run new-study doctor compare view test test-all faults test-nightly test-slurm soak lint audit explain verify repair docs clean

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

new-study: .venv/ready
	$(BIN)/python -m workflow.tools.new_study "$(or $(SLIDES),$(error type make new-study SLIDES=folder))" $(NAME)

doctor: .venv/ready
	$(BIN)/python -m workflow.tools.doctor $(if $(CONFIG),--configfile $(CONFIG)) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

compare: .venv/ready
	$(BIN)/python -m workflow.tools.compare_studies $(or $(A),$(error type make compare A=results/x B=results/y)) $(B) $(ARGS)

view: .venv/ready
	$(BIN)/python -m workflow.tools.view results/$(STUDY) $(if $(SLIDES),--slides $(SLIDES)) $(ARGS)

# A worker a core: threads of several workers would wait for each other.
test test-all faults: export OMP_NUM_THREADS := 1

test: env
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile -m "not slow and not slurm" $(TESTS)

test-all: env
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile -m "not slurm" $(TESTS)

faults: env
	$(BIN)/python -m tests.faults $(if $(ROWS),--rows $(ROWS)) $(ARGS)

test-nightly: env
	MICROTOME_SEEDS=$(SEEDS) $(BIN)/python -m pytest -n $(CORES) tests/test_cases.py -k "any_bytes or random_damage"

test-slurm: env
	$(BIN)/python -m pytest tests/slurm --cohort $(COHORT)

soak: env
	$(BIN)/python -m tests.soak $(if $(SLIDES),--slides $(SLIDES)) $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules

# In an environment of its own: it needs newer releases than Snakemake allows.
audit: .venv/ready
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/pip install --disable-pip-version-check --quiet pip-audit==2.10.1
	$(BIN)/python -m workflow.tools.audit .venv/audit/bin/pip-audit $(ARGS)

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
