import csv
import json
from pathlib import Path

import pytest

from workflow.scripts.check_cohort import check_cohort

FACTS = {"width_px0": 420, "height_px0": 300, "mpp": 0.5, "backend": "openslide"}


def unit_of(checks: Path, slide: str, verdict: str, sentence: str | None, facts: dict) -> None:
    (checks / slide).mkdir(parents=True)
    found = {"verdict": verdict, "sentence": sentence, "facts": facts}
    (checks / slide / "manifest.json").write_text(json.dumps(found))


@pytest.fixture
def checks(tmp_path: Path) -> list[Path]:
    """Two shards with three slides, one of them quarantined."""
    folder = tmp_path / "checks"
    unit_of(folder, "b", "ok", None, FACTS | {"warnings": ["One\tthing.", "Another."]})
    unit_of(folder, "c", "E_EMPTY", "=1+1: the file is empty (0 bytes).", {})
    unit_of(folder, "a", "ok", None, FACTS | {"warnings": []})
    for shard, slides in (("0", ["b", "c"]), ("1", ["a"])):
        units = {slide: {"verdict": "?", "recipe": "?"} for slide in slides}
        (folder / f"{shard}.json").write_text(json.dumps({"units": units}))
    return [folder / "0.json", folder / "1.json"]


def test_every_slide_has_a_row_that_a_spreadsheet_takes_as_text(
    checks: list[Path], tmp_path: Path
) -> None:
    check_cohort(checks, tmp_path / "verdicts.tsv", max_quarantined=0.5)
    with (tmp_path / "verdicts.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["slide"] for row in rows] == ["a", "b", "c"]
    assert rows[0] | {"remedy": ""} == {
        "slide": "a",
        "verdict": "ok",
        "sentence": "",
        "remedy": "",
        "warnings": "",
        "width_px0": "420",
        "height_px0": "300",
        "mpp": "0.5",
        "backend": "openslide",
    }
    assert rows[1]["warnings"] == "One thing. Another."
    assert rows[2]["sentence"] == "'=1+1: the file is empty (0 bytes)."
    assert rows[2]["remedy"].startswith("The file holds no bytes: copy")
    assert rows[2]["mpp"] == ""


def test_too_many_lost_slides_fail_the_study_by_name(checks: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 of 3 slides.*max_quarantined = 0.3") as error:
        check_cohort(checks, tmp_path / "verdicts.tsv", max_quarantined=0.3)
    assert "c: '=1+1: the file is empty (0 bytes). The file holds no bytes" in str(error.value)
    assert (tmp_path / "verdicts.tsv").is_file()


@pytest.mark.parametrize("share", [1 / 3, 1.0])
def test_exactly_the_share_is_allowed(share: float, checks: list[Path], tmp_path: Path) -> None:
    check_cohort(checks, tmp_path / "verdicts.tsv", max_quarantined=share)
