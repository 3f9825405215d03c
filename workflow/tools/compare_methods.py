"""The methods of finished studies side by side, in Markdown.

    python -m workflow.tools.compare_methods results/glas
    python -m workflow.tools.compare_methods results/glas-baseline-seed0 results/glas-baseline-seed1

One study: PxAP, Dice, mean IoU, AUROC of the images' labels with their intervals over patients, the
pixel masks used and seconds per image. Several, the same study under other seeds: means over them
with the interval of Student's t. Seconds are read from the records of the jobs, in the folder logs
beside results; of a method that has none, as where ablate gave a study what another had made, the
table says that it was not measured.
"""

import argparse
import json
import sys
from pathlib import Path

from workflow.lib.jobs.names import PERMUTED
from workflow.lib.jobs.tables import read_table
from workflow.lib.measures.method_tables import compare_methods
from workflow.lib.measures.study_tables import average, markdown_table
from workflow.lib.measures.timings import measure
from workflow.lib.report.provenance import read_usage
from workflow.lib.report.summary import name_methods


def main(arguments: list[str]) -> int:
    """Print the table; the exit status is 1 where a study has no metrics."""
    parser = argparse.ArgumentParser(
        prog="compare_methods",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", type=Path, help="folders such as results/demo")
    studies = list(dict.fromkeys(parser.parse_args(arguments).results))
    faults = [
        f"{results}: there is no metrics.tsv; run the study first\n"
        for results in studies
        if not (results / "metrics.tsv").is_file()
    ]
    if faults:
        sys.stderr.writelines(faults)
        return 1
    rows = average([read_methods(results) for results in studies])
    if not rows:
        sys.stderr.write("No slide of these studies has pixel truth: no method was measured.\n")
        return 1
    sys.stdout.write(markdown_table(rows, studies=len(studies)))
    return 0


def read_methods(results: Path) -> list[dict]:
    """The rows of `compare_methods` of a study, from its metrics, splits and records of jobs."""
    metrics = read_table(results / "metrics.tsv")
    measured = (row["method"] for row in metrics if row["level"] == "pixel")
    made = {m: _recipe(results, m) for m in {m.removesuffix(PERMUTED) for m in measured}}
    cams = {method: recipe.get("made_of", {}).get("cam", "cam") for method, recipe in made.items()}
    mixed = [m for m, recipe in made.items() if recipe.get("settings", {}).get("evidence_share")]
    base = next((cam for method, cam in cams.items() if method != cam), "cam")
    placed = read_table(results / "splits.tsv")
    tested = {row["slide"]: row["fold"] for row in placed if row["split"] == "test"}
    usage = read_usage(results.absolute().parents[1] / "logs" / results.name)
    costs = measure(usage, tested, cams=cams, mixed=mixed)
    return compare_methods(metrics, name_methods(cams, base), costs, cams=cams)


def _recipe(results: Path, method: str) -> dict:
    """The recipe of refine_masks for a method of the study; empty where it is not there."""
    index = next(iter(sorted((results / "refined" / method).glob("fold*/*.json"))), None)
    return json.loads(index.read_text())["recipe"] if index else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
