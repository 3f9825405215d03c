"""Two finished studies of the same slides: how their numbers, settings and heatmaps differ.

    python -m workflow.tools.compare_studies results/A results/B [--output differences.tsv]
    make compare A=results/A B=results/B

First what each study says of itself, over all folds. Then the same quantities as means over the
slides that both have tested, with the difference B - A and its 95% interval from resampling
patients, the same in both: a difference whose interval leaves out 0 is more than chance of the
patients. Then the settings, code and releases that results were made with and that differ, and for
each slide how far its two heatmaps are apart (mean absolute difference, 0..1, where both looked),
where they lie on one grid. --output has every row; what is printed is shortened.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from workflow.lib.jobs.setting_changes import differing
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import manifest
from workflow.lib.maps.heatmap_pairs import difference, grid_fault
from workflow.lib.maps.heatmaps import read_bands
from workflow.lib.measures.bootstrap import Measured
from workflow.lib.measures.study_pairs import number, paired_auroc, paired_mean
from workflow.lib.report.comparison import COLUMNS, comparison_text

DRAWS = {"replicates": 1000, "seed": 0}
OF_MASKS = ("pxap", "dice_fg", "iou_fg")  # columns of the table of slides of a method

Table = dict[str, dict[str, str]]  # slide -> its row


def main(arguments: list[str]) -> int:
    """Print what differs; the exit status is 1 where the two cannot be compared."""
    parser = argparse.ArgumentParser(
        prog="compare_studies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", type=Path, help="a folder such as results/demo")
    parser.add_argument("b", type=Path, help="another one, of the same slides")
    parser.add_argument("--output", type=Path, help="a file (.tsv) for every row")
    options = parser.parse_args(arguments)
    pair = (options.a, options.b)
    absent = [folder for folder in pair if not (folder / "metrics.tsv").is_file()]
    if absent:
        sys.stderr.writelines(
            f"{f}: there is no metrics.tsv; run the study first\n" for f in absent
        )
        return 1
    tested = [_tested(folder) for folder in pair]
    shared = sorted(set(tested[0]) & set(tested[1]))
    moved = [s for s in shared if tested[0][s]["patient"] != tested[1][s]["patient"]]
    if moved or not shared:
        what = (
            f"the patient of {moved[0]} is not the same" if moved else "no slide is tested in both"
        )
        sys.stderr.write(f"{options.a} and {options.b} cannot be compared: {what}\n")
        return 1
    rows = [
        *metric_rows(pair),
        *paired_rows(pair, {slide: tested[0][slide]["patient"] for slide in shared}),
        *setting_rows(pair),
        *slide_rows(*tested),
        *heatmap_rows(pair),
    ]
    rows = [dict.fromkeys(COLUMNS) | row for row in rows]
    if options.output:
        write_table(options.output, COLUMNS, rows)
    sys.stdout.write(comparison_text(rows, names=tuple(map(str, pair))))
    return 0


def metric_rows(pair: Sequence[Path]) -> Iterator[dict]:
    """What the studies say of themselves, over all folds, of what both have measured."""
    found = []
    for folder in pair:
        rows = (row for row in read_table(folder / "metrics.tsv") if row["fold"] == "all")
        found.append({(row["level"], row["method"], row["metric"]): row for row in rows})
    for key in (key for key in found[0] if key in found[1]):
        own = [row[key] for row in found]
        values = {
            f"{name}{end}": number(row[cell])
            for name, row in zip("ab", own, strict=True)
            for end, cell in (("", "value"), ("_low", "ci_low"), ("_high", "ci_high"))
        }
        about = {"part": "study", "method": f"{key[0]} {key[1]}", "quantity": key[2]}
        yield about | values | {"difference": values["b"] - values["a"], "slides": own[0]["n"]}


def paired_rows(pair: Sequence[Path], patients: dict[str, str]) -> Iterator[dict]:
    """Means over the slides that both have tested, and their paired difference."""
    for file in sorted((pair[0] / "evaluation").glob("masks_*_slides.tsv")):
        if not (pair[1] / "evaluation" / file.name).is_file():
            continue
        tables, both, groups = _tables(pair, file.name, patients)
        for name in OF_MASKS:
            values = (np.array([number(table[s][name]) for s in both]) for table in tables)
            a, b = values
            measured = paired_mean(a, b, groups, **DRAWS)
            known = np.isfinite(a) & np.isfinite(b)
            method = file.stem.removeprefix("masks_").removesuffix("_slides")
            yield _paired(f"pixel {method}", name, measured, groups[known])
    name = "classifier_slides.tsv"
    if all((folder / "evaluation" / name).is_file() for folder in pair):
        tables, both, groups = _tables(pair, name, patients)
        scored = np.array([all(table[s]["predicted"] for table in tables) for s in both], bool)
        a, b = (
            [table[s] for s, kept in zip(both, scored, strict=True) if kept] for table in tables
        )
        groups = groups[scored]
        if not len(groups):
            return
        right = (np.array([float(r["predicted"] == r["label"]) for r in rows]) for rows in (a, b))
        yield _paired("classifier", "accuracy", paired_mean(*right, groups, **DRAWS), groups)
        yield _paired("classifier", "auroc", paired_auroc(a, b, groups, **DRAWS), groups)


def _paired(method: str, quantity: str, found: dict[str, Measured], patients: np.ndarray) -> dict:
    row = {"part": "paired", "method": method, "quantity": quantity, "slides": len(patients)}
    for name, (value, (low, high)) in found.items():
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row | {"patients": len(set(patients))}


def _tables(
    pair: Sequence[Path], name: str, patients: dict[str, str]
) -> tuple[list[Table], list[str], np.ndarray]:
    """A table of slides of both studies, the slides in both, and the patients of these."""
    tables = [
        {row["slide"]: row for row in read_table(folder / "evaluation" / name)} for folder in pair
    ]
    both = sorted(set(tables[0]) & set(tables[1]) & set(patients))
    return tables, both, np.array([patients[slide] for slide in both])


def setting_rows(pair: Sequence[Path]) -> Iterator[dict]:
    """What the recipes of both hold in different values."""
    for row in differing(*map(_recipes, pair)):
        about = {"part": "setting", "quantity": row["setting"], "note": row["rules"]}
        yield about | {"a": row["a"], "b": row["b"]}


def _recipes(results: Path) -> dict[str, dict]:
    """Place -> recipe: of each folder of results that has an index, and of each table."""
    found = {}
    for folder, folders, names in os.walk(results):
        if "manifest.json" in names:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        place = os.path.relpath(folder, results)
        for name in sorted(name for name in names if name.endswith(".json")):
            table = name.startswith(".") and name.endswith(".recipe.json")
            if (name.startswith(".") and not table) or name == "identities.json":
                continue
            recipe = json.loads(Path(folder, name).read_text()).get("recipe")
            if recipe:
                found.setdefault(f"{place}/{name}" if table else place, recipe)
    return found


def slide_rows(a: Table, b: Table) -> Iterator[dict]:
    """Slides that only one study has tested, or that are tested in another fold or as another."""
    for slide in sorted(set(a) | set(b)):
        if slide not in a or slide not in b:
            yield {"part": "slide", "slide": slide, "note": f"in {'b' if slide in b else 'a'} only"}
            continue
        for column in ("label", "fold"):
            if a[slide][column] != b[slide][column]:
                values = {"a": a[slide][column], "b": b[slide][column]}
                yield {"part": "slide", "slide": slide, "quantity": column} | values


def heatmap_rows(pair: Sequence[Path]) -> Iterator[dict]:
    """How far apart the heatmaps of each slide and method are."""
    units = sorted(file.parent for file in (pair[0] / "heatmaps").glob("*/*/manifest.json"))
    for unit in tqdm(units, desc="heatmaps", unit="slide", disable=None, leave=False):
        other = pair[1] / unit.relative_to(pair[0])
        if not (other / "manifest.json").is_file():
            continue
        row = {"part": "heatmap", "method": unit.parent.name, "slide": unit.name}
        made = [manifest(folder) for folder in (unit, other)]
        if not all(found["verdict"].startswith("ok") for found in made):
            yield row | {"note": "set aside in one study or both"}
        elif fault := grid_fault(*(found["facts"] for found in made)):
            yield row | {"note": fault}
        else:
            apart = difference(*(read_bands(f / "heatmap.ome.zarr") for f in (unit, other)))
            share = f"{100 * apart.both / apart.either:.0f}" if apart.either else "0"
            note = f"both looked at {share}% of the pixels that either did"
            yield row | {"quantity": "mean_abs", "difference": apart.mean, "note": note}


def _tested(results: Path) -> Table:
    """The slides that a study tests, with patient, label and fold."""
    rows = read_table(results / "splits.tsv")
    return {row["slide"]: row for row in rows if row["split"] == "test"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
