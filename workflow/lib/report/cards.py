"""What the page says of one slide."""

from collections.abc import Mapping

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.verdicts import OK, OK_EMPTY

Row = dict[str, str]
BARE = "No tissue was found on this slide: it has no tile, and nothing is scored."


def make_card(
    slide: Slide,
    checked: Row,
    *,
    tiles: int,
    fold: str | None,
    scored: Row | None,
    masked: Mapping[str, Row],
    heatmaps: Mapping[str, dict],
) -> dict:
    """The facts of a slide as the page shows them.

    checked   its row of the verdicts
    fold      which fold tests it, None for none
    scored    its row of the classifier's table of slides, if it has one
    masked    method -> its row of the method's table of slides, where it has one
    heatmaps  method -> the facts of its heatmap, where it has one
    """
    predicted = (scored or {}).get("predicted") or None
    remarks = [
        checked["warnings"],
        "" if tiles else BARE,
        *(row["note"] for row in masked.values()),
    ]
    drawn = heatmaps if tiles else {}
    height, width = slide_mm(checked)
    return {
        "slide": slide.slide,
        "patient": slide.patient,
        "label": slide.label,
        "predicted": predicted,
        "score": f"{float(scored[f'score[{predicted}]']):.2f}" if predicted else "",
        "wrong": predicted is not None and predicted != slide.label,
        "fold": fold,
        "size": f"{width:.3g} × {height:.3g} mm, {float(checked['mpp']):.3g} µm per pixel",
        "tiles": tiles,
        "methods": {m: _agreement(masked.get(m), facts) for m, facts in drawn.items()},
        "dice": {m: f"{float(masked[m]['dice_fg']):.2f}" for m in drawn if _tells(masked.get(m))},
        "marked_mm2": {m: f"{facts['marked_um2'] / 1e6:.2f}" for m, facts in drawn.items()},
        "remarks": list(dict.fromkeys(text for text in remarks if text)),
    }


def make_row(slide: Slide, verdict: str, card: Mapping | None) -> dict:
    """A row of the table of slides: what the card says in short, and a verdict in words.

    card  that of `make_card`, None for a slide that is not used
    """
    blank = dict.fromkeys(("predicted", "score", "fold", "tiles"), "") | {"wrong": False}
    about = card or blank | {"dice": {}, "marked_mm2": {}, "remarks": []}
    words = {OK: "ok, with remarks" if about["remarks"] else "ok", OK_EMPTY: "ok, no tissue"}
    return {name: about[name] for name in (*blank, "dice", "marked_mm2")} | {
        "slide": slide.slide,
        "patient": slide.patient,
        "label": slide.label,
        "verdict": words.get(verdict, verdict),
        "used": card is not None,
    }


def slide_mm(checked: Row) -> tuple[float, float]:
    """Height and width of a slide.

    >>> slide_mm({"width_px0": "4000", "height_px0": "2000", "mpp": "0.5"})
    (1.0, 2.0)
    """
    mpp = float(checked["mpp"])
    return float(checked["height_px0"]) * mpp / 1000, float(checked["width_px0"]) * mpp / 1000


def agreement_text(row: Row) -> str:
    """How well a heatmap agrees with what the truth marks on a slide, as people write it.

    >>> agreement_text({"dice_fg": "0.754", "pxap": "81.25"})
    'Dice 0.75, PxAP 81'
    """
    dice = f"Dice {float(row['dice_fg']):.2f}, " if row["dice_fg"] else ""
    return f"{dice}PxAP {float(row['pxap']):.0f}"


def _tells(row: Row | None) -> bool:
    """Whether the truth marks something: where it does not, one false pixel makes Dice 0."""
    return bool(row and row["dice_fg"] and float(row["foreground"]))


def _agreement(row: Row | None, heatmap: dict) -> str:
    """How well a heatmap agrees with what the truth marks, if it marks something, and its area."""
    found = []
    if _tells(row):
        found = [agreement_text(row)]
    return ", ".join([*found, f"{heatmap['marked_um2'] / 1e6:.2f} mm² marked"])
