"""Write the page that people open."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import yaml

from workflow.lib.figures import draw_confusion, draw_lines
from workflow.lib.job import run
from workflow.lib.pages import embed_outline, embed_picture, embed_svg, render
from workflow.lib.shard import Shard, manifest, usable
from workflow.lib.sheet import Slide
from workflow.lib.summary import (
    LABEL_METRICS,
    METHODS,
    Row,
    confusion_counts,
    five_numbers,
    label_table,
    method_table,
    training_curves,
    usage_table,
)
from workflow.lib.tables import read_table
from workflow.lib.truth import read_mask

log = logging.getLogger(__name__)

TEMPLATE = Path(__file__).resolve().parents[1] / "report" / "report.html"
MONTAGE_PX = 1100


def write_report(
    verdicts: Path,
    splits: Path,
    metrics: Path,
    cluster_maps: list[Path],
    montages: list[Path],
    overlays: list[Path],
    classifiers: list[Path],
    decoders: list[Path],
    evaluation: list[Path],
    report: Path,
    *,
    shard: Shard,
    classes: list[str],
    max_slides: int,
    picture_px: int,
) -> None:
    """Gather tables and pictures of the study into one self-contained page."""
    results, config = report.parent, shard.recipe["made_of"]["config"]
    numbers, checked = read_table(metrics), read_table(verdicts)
    tables = {table.stem: read_table(table) for table in evaluation}
    methods = sorted({index.parent.name for index in overlays}, key=list(METHODS).index)
    tested = {row["slide"]: row for row in read_table(splits) if row["split"] == "test"}
    good = [row for row in checked if row["verdict"].startswith("ok")]
    by_name = {slide.slide: slide for slide in shard.slides}
    cards = [
        _card(by_name[row["slide"]], row, results, methods, tested, tables, picture_px)
        for row in good[:max_slides]
    ]
    runs = sorted(Path("logs", config["study"]).glob("*/*.run.json"))
    made = [manifest(index.with_suffix("")) for index in classifiers]
    page = render(
        TEMPLATE,
        study=config["study"],
        subtitle=_subtitle(checked, tested, config),
        numbers=five_numbers(numbers, checked, methods, config, _tiles(results, good)),
        methods=method_table(numbers, methods),
        pixel_figures=_pixel_figures(tables, methods),
        labels=label_table(numbers),
        label_titles=list(LABEL_METRICS.values()),
        label_figures=_label_figures(tables, numbers, classes, config["labels"]["level"]),
        slides=cards,
        left_out=max(0, len(good) - max_slides),
        quarantined=[row for row in checked if not row["verdict"].startswith("ok")],
        cluster_note=_cluster_note(bool(classes)),
        montages=_montages(montages),
        training=_training([*classifiers, *decoders]),
        training_note=_training_note(made),
        training_warnings=_weak_folds(made),
        usage=usage_table(json.loads(file.read_text()) for file in runs),
        determinism="On a CPU the same settings, seed, versions and threads give the same bytes; "
        "on CUDA some sums run in an order that changes the last digits.",
        versions=_versions(made, config["seed"]),
        config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    )
    report.write_text(page, encoding="utf-8")
    log.info("%s shows %d slides in %.1f MB.", report, len(cards), report.stat().st_size / 1e6)


def _card(
    slide: Slide,
    checked: Row,
    results: Path,
    methods: Sequence[str],
    tested: dict[str, Row],
    tables: dict[str, list[Row]],
    picture_px: int,
) -> dict:
    """What the page says and shows of one slide."""
    name, scores = slide.slide, {}
    for row in tables.get("classifier_slides", []):
        scores[row["slide"]] = row
    scored = scores.get(name, {})
    dice = {}
    for method in methods:
        rows = [row for row in tables[f"masks_{method}_slides"] if row["slide"] == name]
        if rows and rows[0]["dice_fg"] and slide.label is not None:
            dice[METHODS[method]] = f"{float(rows[0]['dice_fg']):.2f}"
    files = [("slide", results / "tissue" / name / "thumbnail.jpg")]
    files += [
        (METHODS[method], results / "overlays" / method / name / "overlay.jpg")
        for method in methods
    ]
    files += [("clusters", results / "cluster_maps" / name / "cluster_map.png")]
    shown = [
        {"title": title, "source": embed_picture(file, max_side_px=picture_px)}
        for title, file in files
        if file.is_file()
    ]
    if slide.mask and usable(results / "tissue", [name]):
        shown.insert(1, {"title": "pixel truth", "source": _truth(slide, results, picture_px)})
    predicted = scored.get("predicted") or None
    return {
        "slide": name,
        "patient": slide.patient,
        "label": slide.label,
        "predicted": predicted,
        "score": f"{float(scored[f'score[{predicted}]']):.2f}" if predicted else "",
        "fold": tested[name]["fold"] if name in tested else None,
        "tiles": _tiles(results, [checked]),
        "dice": dice,
        "warnings": [text for text in checked.get("warnings", "").split("; ") if text],
        "pictures": shown,
    }


def _truth(slide: Slide, results: Path, picture_px: int) -> str:
    facts = manifest(results / "checks" / slide.slide)["facts"]
    thumbnail = results / "tissue" / slide.slide / "thumbnail.jpg"
    size = (facts["height_px0"], facts["width_px0"])
    return embed_outline(
        thumbnail,
        lambda shape: read_mask(slide.mask, shape_px0=size, out_shape=shape) > 0,
        max_side_px=picture_px,
    )


def _tiles(results: Path, rows: Sequence[Row]) -> int:
    units = usable(results / "tiles", [row["slide"] for row in rows])
    return sum(manifest(results / "tiles" / slide)["facts"]["tiles"] for slide in units)


def _subtitle(checked: Sequence[Row], tested: dict[str, Row], config: dict) -> str:
    kinds = ", ".join(config["labels"]["classes"]) or "no labels"
    folds = len({row["fold"] for row in tested.values()})
    held = (
        f"{folds} folds by {config['split_patients']['group_by']}" if folds else "nothing held out"
    )
    return f"{len(checked)} slides; {kinds}; {held}; seed {config['seed']}"


def _figure(title: str, svg: str) -> dict:
    return {"title": title, "source": embed_svg(svg)}


def _label_figures(
    tables: dict[str, list[Row]], numbers: list[Row], classes: Sequence[str], level: str
) -> list[dict]:
    rows = [row for row in tables.get("classifier_curves", []) if row["fold"] == "all"]
    figures = []
    for x, y, title in (
        ("false_positive_rate", "recall", "ROC"),
        ("recall", "precision", "Precision and recall"),
    ):
        lines = {}
        for row in rows:
            if row[x] and row[y]:
                xs, ys = lines.setdefault(f"{row['level']}: {row['class']}", ([], []))
                xs.append(float(row[x]))
                ys.append(float(row[y]))
        if lines:
            named = {"x": x.replace("_", " "), "y": y}
            figures.append(_figure(title, draw_lines(lines, **named, unit_square=True)))
    if counts := confusion_counts(numbers, level, classes):
        figures.append(_figure(f"Confusion of {level}s", draw_confusion(counts, classes)))
    return figures


def _pixel_figures(tables: dict[str, list[Row]], methods: Sequence[str]) -> list[dict]:
    lines = {}
    for method in methods:
        rows = [row for row in tables[f"masks_{method}_curves"] if row["fold"] == "all"]
        rows = [row for row in rows if row["precision"] and row["recall"]]
        if rows:
            lines[METHODS[method]] = tuple(
                [float(row[name]) for row in rows] for name in ("recall", "precision")
            )
    if not lines:
        return []
    drawn = draw_lines(lines, x="recall", y="precision", unit_square=True)
    return [_figure("Pixels: precision and recall", drawn)]


def _montages(indices: Sequence[Path]) -> list[dict]:
    return [
        {
            "title": f"{index.stem.replace('fold', 'Fold ')}: typical and random tiles of every cluster",
            "source": embed_picture(index.with_suffix("") / "montage.png", max_side_px=MONTAGE_PX),
        }
        for index in indices
        if (index.with_suffix("") / "montage.png").is_file()
    ]


def _training(indices: Sequence[Path]) -> list[dict]:
    figures = []
    for index in indices:
        rows = read_table(index.with_suffix("") / "curves.tsv")
        facts = manifest(index.with_suffix(""))["facts"]
        lines, marks = training_curves(rows, facts.get("best_epoch"))
        what = "Classifier" if index.parent.name == "classifiers" else METHODS[index.parent.name]
        title = f"{what}, {index.stem.replace('fold', 'fold ')}"
        figures.append(_figure(title, draw_lines(lines, x="epoch", y="loss", marks=marks)))
    return figures


def _training_note(made: Sequence[dict]) -> str:
    chosen = sorted({unit["facts"].get("chosen_by", "") for unit in made} - {""})
    return f"The dot is the epoch that was kept, chosen by {'; '.join(chosen)}." if chosen else ""


def _weak_folds(made: Sequence[dict]) -> list[str]:
    return [text for unit in made for text in unit["facts"].get("warnings", [])]


def _versions(made: Sequence[dict], seed: int) -> dict[str, str]:
    found = {"seed": str(seed)}
    for unit in made:
        found |= unit["made_from"]["versions"]
        weights = unit["made_from"]["made_of"].get("checkpoint")
        found |= {"classifier starts from": str(weights)} if weights else {}
    return found


def _cluster_note(labelled: bool) -> str:
    if labelled:
        return "Fitted on the training slides of each fold; a slide shows the fold it is tested in."
    return "There are no labels, so nothing is held out: the clusters are fitted on every slide."


if __name__ == "__main__":
    run(write_report, globals().get("snakemake"))
