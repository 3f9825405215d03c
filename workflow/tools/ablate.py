"""Does a setting earn its place? The same study with and without it, over several seeds.

    python -m workflow.tools.ablate config/ablations/clusters.yaml \
        --configfile config/glas.yaml --seeds 0 1 2 --cores 2 [--config slides=SHEET weights=FOLDER]

Every variant of the first file runs as a study of its own, results/STUDY-VARIANT-seedN, as far as
its metrics.tsv. What came out goes to results/STUDY-ablation/FILE (here: clusters): the config of
every run, table.tsv (its columns: lib/measures/ablation.py) and differences.svg; a table goes to
the terminal. The same command continues where it was stopped; what follows ` -- ` is handed to
snakemake. Run all of it on machines of one kind: what one has trained in bfloat16 is not trained
again by another that computes in float32.

What runs have in common is made once: a run begins with what an earlier one has made, that of its
baseline or of the seed before (lib/jobs/inheriting.py says why this is safe). Where the
baseline of a seed fails, its variants are not run: there would be nothing to compare them with.
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from workflow.lib.jobs.configuration import merge
from workflow.lib.jobs.inheriting import begin_with, has_begun
from workflow.lib.jobs.recipe import ROOT
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.measures import ablation, ablation_plans
from workflow.lib.measures.ablation_tables import comparison_table, draw_differences

DEFAULTS = Path("config/config.yaml")
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
INTERRUPTED = 130  # exit status, as shells have it

Runner = Callable[[Sequence[str]], int]


def main(arguments: list[str], run: Runner | None = None) -> int:
    """Run and compare; the exit status is 1 when anything failed and 130 when it was stopped."""
    options = parse(arguments)
    try:
        plan = yaml.safe_load(options.variants.read_text())
        study = read_study(options.configfile, dict(options.config))
        plan = ablation_plans.without(plan, options.leave_out)
        faults = [f"{options.variants}: {fault}" for fault in ablation_plans.plan_faults(plan)]
        configs = {} if faults else ablation_plans.variant_configs(study, plan, options.seeds)
        faults += ablation_plans.config_faults(configs, read_schema())
    except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
        faults = [str(error)]
    if faults:
        sys.stderr.writelines(f"  {fault}\n" for fault in ["Nothing was run:", *faults])
        return 1
    folder = Path("results", f"{study['study']}-ablation", options.variants.stem)
    finished, notes, status = run_all(configs, study["study"], folder, options, run or snakemake)
    variants = list(dict.fromkeys(variant for variant, _ in configs))
    targets = ablation_plans.read_targets(plan)
    rows = ablation.compare(finished, targets, variants=variants, seeds=options.seeds)
    measured = {(row["level"], row["metric"]) for row in rows}
    notes += [
        f"No run has {target.level} {target.metric} of a method that begins {target.method!r}."
        for target in targets
        if (target.level, target.metric) not in measured and finished
    ]
    write_table(folder / "table.tsv", ablation.COLUMNS, rows)
    if rows:
        (folder / "differences.svg").write_text(draw_differences(rows, baseline=variants[0]))
        sys.stdout.write(comparison_table(rows, baseline=variants[0]))
    sys.stdout.writelines(f"\n{note}\n" for note in notes)
    return status


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; `snakemake` holds what follows ` -- `."""
    parser = argparse.ArgumentParser(
        prog="ablate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", type=Path, help="a file such as config/ablations/clusters.yaml")
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="of the study")
    return parse_runs(parser, arguments)


def parse_runs(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """What `parser` says of the arguments, and which runs there are and how they are run."""
    parser.add_argument("--config", type=_setting, nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="VARIANT")
    parser.add_argument("--cores", default="2")
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    options.seeds = list(dict.fromkeys(options.seeds))
    options.snakemake = arguments[end + 1 :]
    return options


def read_study(files: Sequence[Path], settings: dict) -> dict:
    """The defaults with what the config `files` and then `settings` change."""
    study = yaml.safe_load(DEFAULTS.read_text())
    for file in files:
        study = merge(study, yaml.safe_load(file.read_text()) or {})
    return merge(study, settings)


def read_schema() -> dict:
    """The schema of every config."""
    return yaml.safe_load(SCHEMA.read_text())


def run_all(
    configs: dict[ablation.Run, dict],
    study: str,
    folder: Path,
    options: argparse.Namespace,
    run: Runner,
    *,
    paired: bool = True,
) -> tuple[dict[ablation.Run, list[ablation.Row]], list[str], int]:
    """The metrics of the runs that finished, a sentence on every other, the exit status.

    paired: whether a variant without its baseline, the first one, would tell nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished, notes, status = {}, [], 0
    baseline = next(iter(configs))[0]
    baselines = [Path("results", study)]  # and those of the seeds, the last one first
    for number, ((variant, seed), config) in enumerate(configs.items(), start=1):
        if paired and variant != baseline and (baseline, seed) not in finished:
            continue  # its note says so
        results = Path("results", config["study"])
        try:
            begin_with(next(filter(has_begun, baselines), None), results)
        except OSError as error:  # it costs time only
            sys.stderr.write(f"{results} begins from nothing: {error}\n")
        if variant == baseline:
            baselines.insert(0, results)
        file = folder / f"{variant}-seed{seed}.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        sys.stderr.write(f"{variant}, seed {seed}: run {number} of {len(configs)}\n")
        target = str(results / "metrics.tsv")
        # The target comes first: --configfile would take it for another file.
        given = [target, "--cores", options.cores, "--configfile", str(file), *options.snakemake]
        try:
            failed = run([sys.executable, "-m", "workflow.tools.run", *given])
        except KeyboardInterrupt:
            notes.append(f"Stopped at {variant}, seed {seed}; the same command continues there.")
            return finished, notes, INTERRUPTED
        if failed or not Path(target).is_file():
            alone = " The variants of this seed were not run." * (paired and variant == baseline)
            notes.append(
                f"{variant}, seed {seed} did not finish and does not count; see "
                f"logs/{config['study']}.{alone} Repair the cause and give the same command again."
            )
            status = 1
        else:
            finished[variant, seed] = read_table(Path(target))
    return finished, notes, status


def snakemake(command: Sequence[str]) -> int:
    """Run a command to its end; KeyboardInterrupt when it was told to stop."""
    told = []
    with subprocess.Popen(command) as child:  # noqa: S603 - the arguments are the user's own

        def stop(number: int, _: object) -> None:
            told.append(number)
            if number == signal.SIGTERM:  # Ctrl-C reaches Snakemake by itself
                child.terminate()

        before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            status = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if told:
        raise KeyboardInterrupt
    return status


def _setting(text: str) -> tuple[str, object]:
    key, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, yaml.safe_load(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
