"""The leak audit: what must never cross a fold, checked on what a study really did.

Every check looks at tables and manifests, not at the code that wrote them, and tells all that it
finds. A fault has a code, a sentence, and for its code a remedy.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from workflow.lib.cohort.twins import Twins

REMEDIES: dict[str, str] = {
    "E_PATIENT": "Give all slides of a person one id in the patient column, and one fold or split"
    " where the sheet gives them; then run again.",
    "E_SITE": "Give each site to one fold only, or set split_patients.group_by to patient.",
    "E_TESTED": "Give every slide one fold in the sheet, or none and have the folds drawn.",
    "E_TWIN": "Remove one of the two rows from the sheet, or write the same patient into both if"
    " they are two scans of one person. If they do differ, raise audit_folds.correlation.",
    "E_SPLITS": "Run again with -R split_patients.",
    "E_LEARNT": "Delete the folder of the model, or the table of the threshold in evaluation/, and"
    " run again; if it comes back, its rule learns"
    " from slides that it must not see.",
    "E_FOLD": "Delete the folder of the result and run again.",
    "E_SOURCE": "Run again with -R and the rule of what is missing.",
}
SIDES = {"train": "trained on", "val": "validated on", "test": "tested"}
SHOWN = 20  # faults of a code that are told one by one; a single cause can have thousands
COLUMNS = ("check", "verdict", "looked_at", "found", "sentence")
Row = Mapping[str, str]  # of splits.tsv


@dataclass
class Check:
    """One thing that was checked: how many were looked at, what was found, and what it means.

    faults: (code, sentence); notes: what is allowed and has to be known; passed: a sentence that
    is true where there is no fault.
    """

    check: str
    looked_at: int
    passed: str
    faults: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def row(self) -> dict[str, object]:
        """The row of audit.tsv."""
        said = [sentence for _, sentence in self.faults] or [self.passed]
        return {
            "check": self.check,
            "verdict": "failed" if self.faults else "note" if self.notes else "ok",
            "looked_at": self.looked_at,
            "found": len(self.faults),
            "sentence": " ".join([*said, *self.notes]),
        }


def refuse(checks: Iterable[Check]) -> None:
    """Raise ValueError with the faults and what to do about each kind, when there is any.

    Of each code the first faults (SHOWN) are told, and how many more there are.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for check in checks:
        for code, sentence in check.faults:
            found[code].append(sentence)
    if found:
        total = sum(map(len, found.values()))
        count = "1 fault" if total == 1 else f"{total} faults"
        lines = [f"E_LEAK: This study leaks ({count}), so nothing is reported:"]
        for code, sentences in found.items():
            lines += [f"  {code}: {sentence}" for sentence in sentences[:SHOWN]]
            if len(sentences) > SHOWN:
                lines.append(f"  {code}: and {len(sentences) - SHOWN} more.")
        lines += ["What to do:", *(f"  {code}: {REMEDIES[code]}" for code in found)]
        raise ValueError("\n".join(lines))


def check_patients(rows: Sequence[Row], patients: Mapping[str, str]) -> Check:
    """No patient on two sides of a fold, and the patients of splits.tsv are those of the sheet."""
    faults = [
        ("E_SPLITS", f"splits.tsv has slide {slide} of {one}, the sheet has it of {other}.")
        for slide, one, other in sorted(
            {
                (row["slide"], _whom(row["patient"]), _whom(patients.get(row["slide"])))
                for row in rows
                if patients.get(row["slide"]) != row["patient"]
            }
        )
    ]
    missing = sorted(set(patients) - {row["slide"] for row in rows})
    faults += [
        ("E_SPLITS", f"Slide {slide} of the sheet is not in splits.tsv.") for slide in missing
    ]
    faults += [
        ("E_PATIENT", f"Patient {patient} is on two sides of fold {fold}: {_told(sides)}.")
        for fold, patient, sides in _across(rows, patients)
    ]
    count = len(set(patients.values()))
    return Check("patients", count, "No patient is on two sides of a fold.", faults)


def check_sites(rows: Sequence[Row], sites: Mapping[str, str | None]) -> Check:
    """No site both tested and trained or validated on; those two may share one."""
    halves = [dict(row) | {"split": row["split"].replace("val", "train")} for row in rows]
    faults = [
        ("E_SITE", f"Site {site} is on two sides of fold {fold}: {_told(sides)}.")
        for fold, site, sides in _across(halves, sites)
    ]
    count = len(set(sites.values()) - {None})
    return Check("sites", count, "No site is both learnt from and tested in a fold.", faults)


def check_tested(rows: Sequence[Row]) -> Check:
    """Every slide is tested in exactly one fold, unless there is one fold only."""
    folds: dict[str, list[str]] = {row["slide"]: [] for row in rows}
    for row in rows:
        folds[row["slide"]] += [row["fold"]] * (row["split"] == "test")
    tested = sum(bool(found) for found in folds.values())
    faults = [
        ("E_TESTED", f"Slide {slide} is tested in folds {' and '.join(found)}.")
        for slide, found in sorted(folds.items())
        if len(found) > 1
    ]
    if len({row["fold"] for row in rows}) > 1:
        faults += [
            ("E_TESTED", f"Slide {slide} is tested in no fold.")
            for slide, found in sorted(folds.items())
            if not found
        ]
        passed = "Every slide is tested in exactly one fold."
    else:
        passed = f"There is one fold, which tests {tested} of {len(folds)} slides."
    return Check("tested", len(folds), passed, faults)


def check_twins(
    twins: Iterable[Twins], rows: Sequence[Row], patients: Mapping[str, str], *, seen: int
) -> Check:
    """No tissue on two sides of a fold or under two patients; `seen` slides were compared."""
    sides: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        sides[row["slide"]][row["fold"]] = row["split"]
    faults, notes = [], []
    for one, other, correlation in twins:
        same = patients[one] == patients[other]
        whose = (
            f"both of patient {patients[one]}"
            if same
            else (f"of patients {patients[one]} and {patients[other]}")
        )
        said = f"Slides {one} and {other}, {whose}, show the same tissue ({correlation:.2f} of 1)"
        crossing = [f for f, split in sorted(sides[one].items()) if sides[other].get(f) != split]
        if crossing:
            pair = ", ".join(f"{s} is {SIDES[sides[s][crossing[0]]]}" for s in (one, other))
            faults.append(("E_TWIN", f"{said}: in fold {crossing[0]} {pair}."))
        elif not same:
            faults.append(("E_TWIN", f"{said}."))
        else:
            notes.append(f"{said}: it counts twice.")
    if seen < len(patients):
        left = f"{len(patients) - seen} show{'s' * (len(patients) - seen == 1)}"
        few = "too little tissue to compare, or cannot be used"
        notes.append(f"Of {len(patients)} slides {left} {few}.")
    passed = "No two slides of different patients show the same tissue."
    return Check("twins", seen, passed, faults, notes)


def _across(
    rows: Sequence[Row], groups: Mapping[str, str | None]
) -> Iterable[tuple[str, str, dict[str, list[str]]]]:
    """(fold, group, side -> slides) of every group that is on several sides of a fold."""
    found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if (group := groups.get(row["slide"])) is not None:
            found[row["fold"], group][row["split"]].append(row["slide"])
    for (fold, group), sides in sorted(found.items()):
        if len(sides) > 1:
            yield fold, group, sides


def _told(sides: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{', '.join(sides[s])} {SIDES[s]}" for s in SIDES if s in sides)


def _whom(patient: str | None) -> str:
    return "nobody" if patient is None else f"patient {patient}"
