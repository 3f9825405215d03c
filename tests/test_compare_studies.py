"""compare_studies: two written studies, what is printed, what the table holds, what is refused."""

import json

import numpy as np
import pytest

from workflow.lib.jobs.explanation import sidecar
from workflow.lib.jobs.tables import METRICS, metric_row, read_table, write_table
from workflow.lib.jobs.units import write_json
from workflow.lib.maps.pyramids import write_heatmap
from workflow.lib.measures.pixel_tables import SLIDES
from workflow.tools.compare_studies import main

PATIENTS = {"s1": "p1", "s2": "p1", "s3": "p2", "s4": "p3"}


@pytest.fixture
def study(tmp_path):
    """Writes what is compared of a study."""

    def write(name, *, gain=0.0, mpp=1.0, patients=PATIENTS, fold=0, level=0.25, **settings):
        results = tmp_path / "results" / name
        (results / "evaluation").mkdir(parents=True)
        rows = [
            metric_row("pxap", 70 + gain, (60, 80), fold="all", level="pixel", method="none", n=4),
            metric_row("pxap", 1.0, fold="0", level="pixel", method="none", n=4),
        ]
        write_table(results / "metrics.tsv", METRICS, rows)
        splits = [
            {"fold": fold, "slide": s, "patient": p, "label": "no", "split": split}
            for s, p in patients.items()
            for split in ("test", "train")
        ]
        write_table(results / "splits.tsv", splits[0], splits)
        masks = [
            dict.fromkeys(SLIDES) | {"slide": s, "pxap": n + gain, "dice_fg": None if n else 0.5}
            for n, s in enumerate(patients)
        ]
        write_table(results / "evaluation/masks_none_slides.tsv", SLIDES, masks)
        scores = [
            {
                **{"slide": s, "label": "yes" if n % 2 else "no", "predicted": "no"},
                **{"score[no]": 1 - 0.2 * n, "score[yes]": 0.2 * n},
            }
            for n, s in enumerate(patients)
        ]
        scores[-1]["predicted"] = "yes" if gain else "no"
        write_table(results / "evaluation/classifier_slides.tsv", scores[0], scores)
        recipe = {"rule": "refine_masks", "settings": settings, "code": "1", "versions": {}}
        write_json(results / "refined/none/fold0/all.json", {"recipe": recipe, "units": {}})
        table = {"rule": "evaluate_masks", "settings": settings, "code": name, "versions": {}}
        write_json(sidecar(results / "evaluation/masks_none.tsv"), {"recipe": table})
        (results / "identities.json").write_text("{}")
        for n, slide in enumerate(("s1", "s2")):
            unit = results / "heatmaps/none" / slide
            unit.mkdir(parents=True)
            shape = (4, 6)
            band = (0, np.full(shape, level * (n + 1), np.float32), np.ones(shape, bool))
            about = {"mpp": mpp, "mpp0": 1.0, "name": slide, "channels": {"yes": (1, 2, 3)}}
            write_heatmap(unit / "heatmap.ome.zarr", [band], shape, **about)
            facts = {"shape": list(shape), "mpp": mpp, "scale_px0": 1.0}
            facts |= {"height_px0": 4, "width_px0": 6}
            write_json(unit / "manifest.json", {"verdict": "ok", "facts": facts})
        return results

    return write


def compare(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_numbers_settings_and_heatmaps_stand_side_by_side(study, capsys, tmp_path):
    a, b = study("a", downsample=1), study("b", gain=2.0, level=0.5, downsample=2)
    status, said, _ = compare(capsys, a, b, "--output", tmp_path / "o.tsv")
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "pixel none pxap 70.0 [60.0, 80.0] 72.0 [60.0, 80.0] +2.0" in lines
    pxap = next(line for line in lines if line.startswith("pixel none pxap 1.5 ["))
    assert pxap.endswith("+2.0 [+2.0, +2.0] 4 3")
    assert "pixel none dice_fg 0.500 0.500 +0.000 1 1" in lines  # one slide: no interval
    accuracy = next(line for line in lines if line.startswith("classifier accuracy 0.500"))
    assert " 0.750 " in accuracy and " +0.250 [" in accuracy
    assert any(line.startswith("classifier auroc 0.750 ") for line in lines)
    assert "downsample 1 2 evaluate_masks, refine_masks" in lines
    assert "the code of 1 rules: evaluate_masks" in lines
    assert "none: 2 slides, median 0.375; most: s2 0.500, s1 0.250" in lines
    rows = read_table(tmp_path / "o.tsv")
    paired = next(row for row in rows if (row["part"], row["quantity"]) == ("paired", "pxap"))
    keys = ("a", "b", "difference", "difference_low", "slides", "patients")
    assert [paired[key] for key in keys] == ["1.5", "3.5", "2", "2", "4", "3"]
    heatmap = next(row for row in rows if row["part"] == "heatmap")
    assert float(heatmap["difference"]) == pytest.approx(0.25, abs=1e-5)  # 16 bits
    assert "100% of the pixels" in heatmap["note"]


def test_a_study_differs_from_itself_in_nothing(study, capsys):
    a = study("a", downsample=1)
    status, said, _ = compare(capsys, a, a)
    assert status == 0 and said.count("  none\n") == 2  # settings, slides
    assert "none: 2 slides, median 0.000" in said


def test_other_grids_folds_and_slides_are_said(study, capsys):
    patients = {"s1": "p1", "s2": "p1", "s3": "p2", "s5": "p4"}
    status, said, _ = compare(capsys, study("a"), study("b", mpp=2.0, fold=1, patients=patients))
    assert status == 0
    assert "2 slides not compared; s1: other grids: 4 x 6 px of 1 um and 4 x 6 px of 2 um" in said
    assert "another fold: 3 (s1, s2, s3)" in said
    assert "in a only: 1 (s4)" in said and "in b only: 1 (s5)" in said


def test_a_slide_set_aside_is_not_compared(study, capsys):
    a, b = study("a"), study("b")
    file = b / "heatmaps/none/s1/manifest.json"
    file.write_text(json.dumps({"verdict": "E_TILE", "facts": {}}))
    _, said, _ = compare(capsys, a, b)
    assert "1 slides not compared; s1: set aside in one study or both" in said
    assert "none: 1 slides, median" in said


@pytest.mark.parametrize(
    ("patients", "fault"),
    [
        (PATIENTS | {"s3": "p9"}, "the patient of s3 is not the same"),
        ({"x1": "p1", "x2": "p2"}, "no slide is tested in both"),
    ],
)
def test_studies_of_other_slides_or_patients_are_refused(study, capsys, patients, fault):
    status, said, error = compare(capsys, study("a"), study("b", patients=patients))
    assert status == 1 and said == "" and fault in error


def test_a_study_that_did_not_finish_is_named(study, capsys, tmp_path):
    status, _, error = compare(capsys, study("a"), tmp_path / "b")
    assert (
        status == 1 and error == f"{tmp_path / 'b'}: there is no metrics.tsv; run the study first\n"
    )
