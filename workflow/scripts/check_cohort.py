"""Gather the verdicts on all slides and stop a study that lost too many of them."""

import csv
import json
import logging
from pathlib import Path

from workflow.lib.jobs.job import run
from workflow.lib.jobs.units import manifest
from workflow.lib.jobs.verdicts import REMEDIES

log = logging.getLogger(__name__)

COLUMNS = (
    *("slide", "verdict", "sentence", "remedy", "warnings"),
    *("width_px0", "height_px0", "mpp", "backend"),
)


def check_cohort(checks: list[Path], verdicts: Path, *, max_quarantined: float) -> None:
    """Write one row per slide; fail when more than the share `max_quarantined` is unusable.

    The verdicts are those of check_slide. A slide that a later stage puts aside (too coarse, too
    many unreadable tiles) passes here; the report lists it.
    """
    rows = [
        _row(slide, manifest(index.parent / slide))
        for index in checks
        for slide in json.loads(index.read_text())["units"]
    ]
    rows.sort(key=lambda row: row["slide"])
    with verdicts.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    lost = [row for row in rows if not row["verdict"].startswith("ok")]
    for row in lost:
        log.warning("%s: %s: %s %s", *(row[name] for name in COLUMNS[:4]))
    if len(lost) > max_quarantined * len(rows):
        listed = "\n".join(f"  {row['slide']}: {row['sentence']} {row['remedy']}" for row in lost)
        raise ValueError(
            f"E_LOST: {len(lost)} of {len(rows)} slides cannot be used, more than max_quarantined ="
            f" {max_quarantined:g} allows. Repair them, or raise max_quarantined:\n{listed}"
        )
    log.info("%d of %d slides can be used.", len(rows) - len(lost), len(rows))


def _row(slide: str, found: dict) -> dict[str, object]:
    facts = found["facts"]
    return {
        "slide": slide,
        "verdict": found["verdict"],
        "sentence": _cell(found["sentence"] or ""),
        "remedy": REMEDIES.get(found["verdict"], ""),
        "warnings": _cell(" ".join(facts.get("warnings", []))),
        **{name: facts.get(name, "") for name in COLUMNS[5:]},
    }


def _cell(text: str) -> str:
    """Text on one line that no spreadsheet takes for a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


if __name__ == "__main__":
    run(check_cohort, globals().get("snakemake"))
