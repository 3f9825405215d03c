"""Do we get what was published? A study, several seeds each, beside the published numbers.

    python -m workflow.tools.reproduce config/reproductions/glas.yaml --cores 4 \
        [--seeds 0 1 2] [--leave-out vgg16 inception_v3] [--config weights=FOLDER]

Every variant of the file, a backbone for example, runs once per seed as a study of its own,
results/STUDY-VARIANT-seedN, as far as its metrics.tsv. What came out goes to
results/STUDY-reproduction/FILE (here: glas): the config of every run, runs.tsv (every seed),
table.tsv (its columns: lib/measures/published.py) and table.md, which goes to the terminal as well.
A variant that fails stops no other. The same command continues where it was stopped; what follows
` -- ` is handed to snakemake. docs/studies.md says how to get the data.
"""

import argparse
import sys
from pathlib import Path

import yaml

from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.measures import ablation, ablation_plans
from workflow.lib.measures.published import (
    COLUMNS,
    beside,
    plan_faults,
    published_faults,
    published_table,
)
from workflow.tools import ablate


def main(arguments: list[str], run: ablate.Runner | None = None) -> int:
    """Run and compare; the exit status is 1 when anything failed and 130 when it was stopped."""
    options = parse(arguments)
    configs: dict[ablation.Run, dict] = {}
    try:
        plan = ablation_plans.without(yaml.safe_load(options.plan.read_text()), options.leave_out)
        faults = [f"{options.plan}: {fault}" for fault in plan_faults(plan)]
        if not faults:
            published = read_table(Path(plan["published"]))
            faults = [f"{plan['published']}: {fault}" for fault in published_faults(published)]
            own = {"slides": plan["slides"]} if "slides" in plan else {}
            study = ablate.read_study([Path(plan["configfile"])], own | dict(options.config))
            configs = ablation_plans.variant_configs(study, plan, options.seeds)
            for (_, seed), config in configs.items():
                config["slides"] = config["slides"].replace("{seed}", str(seed))
            faults += ablation_plans.config_faults(configs, ablate.read_schema())
            sheets = sorted({config["slides"] for config in configs.values()})
            faults += [
                f"there is no slide sheet {sheet}; docs/studies.md says how it is made"
                for sheet in sheets
                if not Path(sheet).is_file()
            ]
    except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
        faults = [str(error)]
    if faults:
        sys.stderr.writelines(f"  {fault}\n" for fault in ["Nothing was run:", *faults])
        return 1
    folder = Path("results", f"{study['study']}-reproduction", options.plan.stem)
    finished, notes, status = ablate.run_all(
        configs, study["study"], folder, options, run or ablate.snakemake, paired=False
    )
    variants = list(dict.fromkeys(variant for variant, _ in configs))
    targets = ablation_plans.read_targets(plan)
    rows = ablation.compare(finished, targets, variants=variants, seeds=options.seeds)
    write_table(folder / "runs.tsv", ablation.COLUMNS, rows)
    settings = {variant: config for (variant, _), config in configs.items()}
    laid = beside(rows, settings, published)
    write_table(folder / "table.tsv", COLUMNS, laid)
    if laid:
        text = published_table(laid, seeds=len(options.seeds), differs=plan.get("differs", []))
        (folder / "table.md").write_text(text)
        sys.stdout.write(text)
    sys.stdout.writelines(f"\n{note}\n" for note in notes)
    return status


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; `snakemake` holds what follows ` -- `."""
    parser = argparse.ArgumentParser(
        prog="reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="a file such as config/reproductions/glas.yaml")
    return ablate.parse_runs(parser, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
