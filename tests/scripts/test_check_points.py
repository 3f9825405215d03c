"""Points of the sheet become units; a file that cannot be used costs its points, not its slide."""

import json

import pytest

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.jobs.verdicts import REMEDIES, Quarantine
from workflow.lib.tiles.stores import open_group
from workflow.scripts.check_points import check_points

CLASSES = ["normal", "tumour"]
HEADER = "y_px0\tx_px0\tclass\n"


def shard(rule, slides, **facts):
    recipe = {"rule": rule, "settings": {}, "code": "", "versions": {}, "made_of": {}}
    return Shard("all", slides, recipe | {"slides": {slide.slide: None for slide in slides}})


def check(tmp_path, slides, refused=()):
    """The points of slides of 200 x 100 px: their folder."""

    def work(slide, _folder):
        if slide.slide in refused:
            raise Quarantine("E_FORMAT", f"{slide.slide} is damaged.")
        return {"width_px0": 200, "height_px0": 100, "mpp": 0.5}

    checks, points = tmp_path / "checks" / "all.json", tmp_path / "points" / "all.json"
    visit(checks, shard("check_slide", slides), work)
    made_of = shard("check_points", slides)
    check_points(checks, points, shard=made_of, classes=CLASSES, negative="normal")
    return points.parent


def slide(tmp_path, text, name="s", label="tumour"):
    file = tmp_path / f"{name}.tsv"
    file.write_text(text)
    return Slide(name, None, f"patient-{name}", label, points=file)


def test_points_are_kept_in_level_0_px(tmp_path):
    content = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [150.5, 20]},
         "properties": {"classification": {"name": "Tumour"}}},
        {"type": "Feature", "geometry": {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
         "properties": {"classification": {"name": "normal"}}},
    ]  # fmt: skip
    file = tmp_path / "p.geojson"
    file.write_text(json.dumps(content))
    folder = check(tmp_path, [Slide("s", None, "p", "tumour", points=file), Slide("t", None, "q")])
    group = open_group(folder / "s" / "points.zarr")
    assert group["places_px0"][:].tolist() == [[20, 150.5], [2, 1], [4, 3]]
    assert group["sides"][:].tolist() == [1, 0, 0]
    assert manifest(folder / "s")["facts"] == {"points": 3}
    assert open_group(folder / "t" / "points.zarr")["places_px0"].shape == (0, 2)
    assert manifest(folder / "t")["facts"] == {"points": 0}


@pytest.mark.parametrize(
    ("text", "label", "said"),
    [
        ("y\tx\n", "tumour", "s.tsv is not a readable file of points"),
        (HEADER + "20\t10\tstroma\n", "tumour", "a point is of 'stroma', which is no class"),
        (HEADER + "20\t10\t\n", "tumour", "a point is of no class of this study"),
        (HEADER + "150\t20\ttumour\n", "tumour", "x = 20, y = 150, outside the slide of 200 x 100"),
        (
            HEADER + "20\t10\tnormal\n30\t10\ttumour\n",
            "normal",
            "a point is of 'tumour', but the slide is labelled 'normal'",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_a_verdict_with_a_sentence(tmp_path, text, label, said):
    bad, good = slide(tmp_path, text, label=label), slide(tmp_path, HEADER + "1\t2\ttumour\n", "t")
    folder = check(tmp_path, [bad, good])
    found = manifest(folder / "s")
    assert found["verdict"] == "E_POINTS" and found["verdict"] in REMEDIES
    assert found["sentence"].startswith("s: the points of s.tsv cannot be used: ")
    assert said in found["sentence"]
    assert manifest(folder / "t")["verdict"] == "ok"


def test_background_on_a_negative_slide_is_no_contradiction(tmp_path):
    given = slide(tmp_path, HEADER + "20\t10\tbackground\n", label="normal")
    assert manifest(check(tmp_path, [given]) / "s")["verdict"] == "ok"


def test_a_slide_that_was_put_aside_before_keeps_its_verdict(tmp_path):
    given = slide(tmp_path, "nonsense")
    assert manifest(check(tmp_path, [given], refused=["s"]) / "s")["verdict"] == "E_FORMAT"
