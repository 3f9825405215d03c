"""A stage gets what its signature asks for, from Snakemake and from the command line alike."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from workflow.lib.jobs import job
from workflow.lib.jobs.shard import Shard

SHEET = "slide\tpath\tpatient\tlabel\ns1\ts1.bin\tp1\tnormal\ns2\ts2.bin\tp2\tnormal\n"


class Named(list):
    """Like Snakemake's named lists: positions and names."""

    def __init__(self, **names):
        super().__init__(
            value
            for item in names.values()
            for value in ([item] if isinstance(item, str) else item)
        )
        self.names = names

    def items(self):
        return self.names.items()


@pytest.fixture
def sheet(tmp_path):
    for name in ("s1", "s2"):
        (tmp_path / f"{name}.bin").write_bytes(name.encode())
    (tmp_path / "slides.tsv").write_text(SHEET)
    return tmp_path / "slides.tsv"


def snakemake(sheet, settings, **parts):
    recipe = {"rule": "stage", "settings": settings, "slides": {"s1": None}}
    compute = {"device": "cpu", "batch": 8, "check_timeout_s": 9, "check_memory_mb": 512}
    config = {
        "slides": str(sheet),
        "weights": None,
        "labels": {"classes": ["normal"]},
        "compute": compute | {"scratch": "/fast"},
    }
    given = {
        "params": SimpleNamespace(recipe=json.dumps(recipe)),
        "config": config,
        "input": Named(),
        "output": Named(tiles=str(sheet.with_name("tiles.json"))),
        "wildcards": Named(shard="s1", fold="2"),
        "log": [str(sheet.with_name("logs") / "s1.log")],
        "threads": 3,
    }
    return SimpleNamespace(**given | parts)


def test_binding_by_name_and_type(sheet):
    seen = {}

    def stage(
        checks: Path,
        many: list[Path],
        tiles: Path,
        maybe: Path | None,
        *,
        shard: Shard,
        mpp: float,
        fold: int,
        device: str,
        batch: int,
        threads: int,
        scratch: Path | None,
    ):
        seen.update(locals())

    inputs = Named(checks="c.json", many=["a", "b"], maybe=[])
    job.run(stage, snakemake(sheet, {"mpp": 1}, input=inputs))
    assert seen["checks"] == Path("c.json") and seen["many"] == [Path("a"), Path("b")]
    assert seen["maybe"] is None and seen["tiles"].name == "tiles.json"
    assert (seen["mpp"], seen["fold"], seen["batch"], seen["threads"]) == (1.0, 2, 8, 3)
    assert isinstance(seen["mpp"], float) and seen["scratch"] == Path("/fast")
    assert [slide.slide for slide in seen["shard"].slides] == ["s1"]
    usage = json.loads((sheet.parent / "logs" / "s1.run.json").read_text())
    assert usage["threads"] == 3 and usage["max_rss_mb"] > 10


def test_an_unknown_setting_is_refused(sheet, capsys):
    def stage(*, mpp: float):
        pass

    with pytest.raises(TypeError, match="no setting \\['tyle_px'\\]"):
        job.run(stage, snakemake(sheet, {"mpp": 1, "tyle_px": 2}))


def test_an_error_becomes_a_sentence_and_exit_1_with_the_traceback_in_the_log(sheet, capsys):
    def stage():
        raise ValueError("s1: mpp 499 is not plausible; write it into the sheet")

    with pytest.raises(SystemExit) as stop:
        job.run(stage, snakemake(sheet, {}))
    shown = capsys.readouterr().err
    assert stop.value.code == 1
    assert "mpp 499 is not plausible" in shown and "Traceback" not in shown
    assert "Traceback" in (sheet.parent / "logs" / "s1.log").read_text()


def test_a_plain_output_gets_a_sidecar_with_recipe_and_checksum(sheet):
    table = sheet.parent / "splits.tsv"

    def stage(splits: Path, *, seed: int):
        splits.write_text("fold\n")

    job.run(stage, snakemake(sheet, {"seed": 1}, output=Named(splits=str(table))))
    record = json.loads((sheet.parent / ".splits.tsv.recipe.json").read_text())
    assert record["recipe"]["settings"] == {"seed": 1}
    assert record["files"]["splits.tsv"]["bytes"] == 5


def test_the_command_line_has_the_same_names(sheet, monkeypatch):
    seen = {}

    def check_slide(
        checks: Path,
        *,
        shard: Shard,
        mpp_min: float,
        allow_fluorescence: bool,
        augment: dict,
        seed: int,
        device: str,
        scratch: Path | None,
    ):
        seen.update(locals())

    config = sheet.parent / "config.yaml"
    config.write_text(
        "seed: 7\nlabels: {classes: [normal]}\ncompute: {device: cpu, batch: 1}\n"
        "check_slide: {mpp_min: 0.1, allow_fluorescence: false, augment: {flips: true}}\n"
    )
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "check_slide",
            "--configfile",
            str(config),
            "--sheet",
            str(sheet),
            "--only",
            "s2",
            "--checks",
            "c.json",
            "--mpp-min",
            "0.2",
            "--allow-fluorescence",
        ],
    )
    job.run(check_slide)
    assert (seen["mpp_min"], seen["allow_fluorescence"], seen["seed"]) == (0.2, True, 7)
    assert seen["augment"] == {"flips": True} and seen["scratch"] is None
    assert [slide.slide for slide in seen["shard"].slides] == ["s2"]
    assert seen["shard"].recipe["settings"]["mpp_min"] == 0.2
    assert "device" not in seen["shard"].recipe["settings"]


def test_a_missing_argument_is_named(monkeypatch):
    def check_slide(checks: Path, *, mpp_min: float):
        pass

    monkeypatch.setattr(sys, "argv", ["check_slide", "--checks", "c.json"])
    with pytest.raises(TypeError, match="needs mpp_min: --mpp-min"):
        job.run(check_slide)


def test_an_input_that_is_not_always_there_is_none_and_a_setting_is_not(monkeypatch):
    seen = []

    def train_classifier(tiles: Path, network: Path | None):
        seen.append(network)

    def split_patients(tiles: Path, *, negative: str | None):
        pass

    monkeypatch.setattr(sys, "argv", ["stage", "--tiles", "t.json"])
    job.run(train_classifier)
    assert seen == [None]
    with pytest.raises(TypeError, match="needs negative: --negative"):
        job.run(split_patients)


@pytest.fixture
def called(sheet, monkeypatch):
    """Call a stage as from the command line, with a study's config and the sheet."""

    def call(stage, *arguments, config="seed: 7\n"):
        (sheet.parent / "study.yaml").write_text(config)
        given = ["--configfile", str(sheet.parent / "study.yaml"), "--sheet", str(sheet)]
        monkeypatch.setattr(sys, "argv", [stage.__name__, *given, *arguments])
        job.run(stage)

    return call


def test_a_study_config_is_merged_over_the_defaults(called):
    seen = {}

    def evaluate_masks(
        *, bootstrap: int, seed: int, window: str, cam_scale: str, pooling: str,
        max_quarantined: float, check_timeout_s: float, augment: dict | None = None,
    ):  # fmt: skip
        seen.update(locals())

    called(evaluate_masks, config="seed: 7\nstitch_heatmap: {window: flat}\n")
    assert (seen["seed"], seen["window"], seen["bootstrap"]) == (7, "flat", 1000)
    assert (seen["cam_scale"], seen["pooling"]) == ("softmax", "mean")
    assert (seen["max_quarantined"], seen["check_timeout_s"]) == (0.5, 120)


def test_ids_that_the_sheet_does_not_hold_are_refused(called, capsys):
    def check_slide(*, shard: Shard):
        raise AssertionError("nothing may run")

    with pytest.raises(SystemExit):
        called(check_slide, "--only", "s1", "s9", "typo")
    assert "no slide of the sheet is called s9, typo" in capsys.readouterr().err


def test_the_recipe_of_the_command_line_holds_the_row_of_a_slide(called, sheet):
    recipes = []

    def check_slide(*, shard: Shard):
        recipes.append(shard.recipe["slides"]["s1"])

    (sheet.parent / "tissue.png").write_bytes(b"one")
    sheet.write_text(
        "slide\tpath\tpatient\tlabel\tmpp\ttissue\ns1\ts1.bin\tp1\tnormal\t0.5\ttissue.png\n"
    )
    called(check_slide)
    (sheet.parent / "tissue.png").write_bytes(b"two")
    called(check_slide)
    first, second = recipes
    assert (first["mpp"], first["label"]) == (0.5, "normal")
    assert first["identity"] == second["identity"] and first["tissue"] != second["tissue"]
