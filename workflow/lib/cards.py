"""What the page says of one slide."""

from collections.abc import Iterable, Mapping, Sequence

from workflow.lib.sheet import Slide

Row = dict[str, str]
BARE = "No tissue was found on this slide, so it has no tile and nothing is scored."


def make_card(
    slide: Slide,
    checked: Row,
    *,
    tiles: int,
    fold: str | None,
    scored: Row | None,
    measured: Mapping[str, tuple[Row | None, dict]],
) -> dict:
    """The facts of a slide as a page shows them.

    checked   its row of the verdicts
    fold      which fold tests it, None for none
    scored    its row of the classifier's table of slides, if it has one
    measured  method -> its row of that method's table of slides, if any, and the heatmap's facts
    """
    scored = scored or {}
    predicted = scored.get("predicted") or None
    rows = [row for row, _ in measured.values() if row]
    remarks = [checked["warnings"], BARE * (tiles == 0), *(row["note"] for row in rows)]
    return {
        "slide": slide.slide,
        "patient": slide.patient,
        "label": slide.label,
        "predicted": predicted,
        "score": f"{float(scored[f'score[{predicted}]']):.2f}" if predicted else "",
        "missed": predicted is not None and predicted != slide.label,
        "fold": fold,
        "size": _size(checked),
        "tiles": f"{tiles:,} tile{'' if tiles == 1 else 's'}",
        "methods": {name: _agreement(*found) for name, found in measured.items() if tiles},
        "remarks": _each_once(remarks),
    }


def truth_title(share: float) -> str:
    """How to call a picture of the pixel truth, which marks this share of the slide.

    >>> truth_title(0), truth_title(0.004), truth_title(0.25)
    ('pixel truth: nothing marked', 'pixel truth: 0.4% marked', 'pixel truth: 25% marked')
    """
    if not share:
        return "pixel truth: nothing marked"
    return f"pixel truth: {share:.{0 if share >= 0.01 else 1}%} marked"


def _size(checked: Row) -> str:
    mpp = float(checked["mpp"])
    width, height = (float(checked[side]) * mpp / 1000 for side in ("width_px0", "height_px0"))
    return f"{width:.3g} × {height:.3g} mm, {mpp:.3g} µm per pixel"


def _agreement(row: Row | None, heatmap: dict) -> str:
    """How well a heatmap agrees with the truth, and how much it marks where there is none."""
    found = []
    if row and row["dice_fg"] and float(row["foreground"] or 0):
        found = [f"Dice {float(row['dice_fg']):.2f}"]
        found += [f"PxAP {float(row['pxap']):.0f}"] if row["pxap"] else []
    if "marked_um2" in heatmap:
        found.append(f"{heatmap['marked_um2'] / 1e6:.2f} mm² marked")
    return ", ".join(found)


def _each_once(texts: Iterable[str]) -> Sequence[str]:
    return list(dict.fromkeys(text for text in texts if text))
