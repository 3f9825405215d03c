"""Every method of the refine stage side by side, from slides to the report."""

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.workflow.study import ROOT, Study
from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.jobs.names import METHODS, SUPERVISED, UNLEARNT
from workflow.lib.jobs.tables import read_table

REFINERS = [method for method in METHODS if method not in CAMS]
QUICK = {
    "slides_per_shard": 8,
    "make_cams": {"methods": list(CAMS), "score_channels": 2, "smooth_samples": 2},
    "refine_masks": {"methods": REFINERS, "downsample": 2},
    **{f"train_{method}": {"epochs": 1} for method in ("irn", "rpnet", "points", "unet")},
    "train_svm": {
        "max_pixels": 200,
        "search_pixels": 100,
        "folds": 2,
        "gamma": [0.1],
        "step_px": 8,
    },
}


def give_points(study):
    """Two points in every slide with a finding: its middle is in the disc, its corner is not."""
    header, *rows = (line.split("\t") for line in study.sheet.read_text().splitlines())
    table = [[*header, "points"]]
    for row in rows:
        slide = dict(zip(header, row, strict=True))
        file = ""
        if slide["label"] == "tumour":
            file = f"{slide['slide']}-points.tsv"
            mask = np.argwhere(np.asarray(Image.open(study.sheet.parent / slide["mask"])) > 0)
            inside, scale = mask[len(mask) // 2], 4  # masks are a quarter of the slide
            points = [(*(inside * scale), "tumour"), (40, 40, "normal")]
            lines = ["y_px0\tx_px0\tclass", *("\t".join(map(str, point)) for point in points)]
            (study.sheet.parent / file).write_text("\n".join(lines) + "\n")
        table.append([*row, file])
    study.sheet.write_text("\n".join("\t".join(row) for row in table) + "\n")


def test_the_study_of_all_methods_plans_every_one(tmp_path):
    """config/all-methods.yaml as it is, on drawn slides in place of the demo's."""
    study = Study.make(tmp_path)
    given = yaml.safe_load((ROOT / "config/all-methods.yaml").read_text())
    assert sorted(given["make_cams"]["methods"]) == sorted(CAMS)
    assert sorted(given["refine_masks"]["methods"]) == sorted(REFINERS)
    changed = {"slides": "cohort/slides.tsv", "split_patients": {"folds": 2}}
    study.config.write_text(yaml.safe_dump(given | changed))
    give_points(study)
    jobs = study.would_run()
    assert jobs["evaluate_masks"] == len(METHODS) - 1  # what the first cam comes to is `none`
    learnt = [name for name in REFINERS if jobs[f"train_{name}"] == 2]  # one a fold
    assert learnt == [name for name in REFINERS if name not in UNLEARNT]
    assert jobs["map_glands"] and jobs["check_points"]


@pytest.mark.slow
def test_every_method_reaches_the_report_on_the_same_folds(tmp_path):
    study = Study.make(tmp_path, **QUICK)
    give_points(study)
    study.run()
    assert set(study.would_run()) == set()
    rows = read_table(study.results / "metrics.tsv")
    measured = {
        row["method"]: row
        for row in rows
        if (row["fold"], row["metric"]) == ("all", "pxap") and row["value"]
    }
    methods = [*REFINERS, *QUICK["make_cams"]["methods"][1:]]
    assert set(measured) == set(methods)
    assert {row["n"] for row in measured.values()} == {"8"}
    used = {method: int(row["pixel_masks_used"]) for method, row in measured.items()}
    # Of the two training slides of each fold: normal ones have an empty mask, and no points.
    learnt = dict.fromkeys(SUPERVISED, 4) | {"points": 2}
    assert {method: masks for method, masks in used.items() if masks} == learnt
    page = (study.results / "report.html").read_text()
    for method in methods:
        assert METHODS[method] in page
    audited = read_table(study.results / "audit.tsv")
    assert {row["verdict"] for row in audited} == {"ok"}
