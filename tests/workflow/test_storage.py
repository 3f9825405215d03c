"""A study of slides in object storage: the same results, and nothing of the credentials in them."""

import os
from pathlib import Path

import pytest

from tests.stored import SECRET, TOKEN, Storage, serving, use
from tests.workflow.study import Study

UNLABELLED = {"labels": {"level": "image", "classes": [], "negative": None}}
UNTIL = ("--until", "tile_slide")
RESULTS = ("checks", "tissue", "tiles")


def upload(study: Study, storage: Storage, prefix: str) -> None:
    """Put the slides of a study into the bucket, name them there in the sheet, and delete them."""
    text = study.sheet.read_text()
    for file in sorted((study.folder / "cohort/slides").glob("*.tif")):
        path = storage.put(f"{prefix}{file.name}", file)
        text = text.replace(f"slides/{file.name}", str(path))
        file.unlink()
    study.sheet.write_text(text)


def pixels(study: Study) -> dict[str, str]:
    """The hash of every result of the first stages but for what names where slides come from."""
    return {
        name: sha256
        for name, sha256 in study.tree().items()
        if name.split("/")[0] in RESULTS and not name.endswith(("manifest.json", "s01.json"))
    }


def everything(folder: Path):
    """The content of every file that a run leaves, with its path."""
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name), Path(parent, name).read_bytes()


@pytest.fixture(scope="module")
def server():
    with serving() as storage:
        yield storage


def test_a_study_in_object_storage(server, tmp_path, monkeypatch):
    """Pixels as from files, no secret anywhere, no copy left, and only a replaced slide again."""
    use(server, monkeypatch, tmp_path)
    scratch = tmp_path / "scratch"
    options = {"slides": 2, "slides_per_shard": 1, **UNLABELLED}
    local = Study.make(tmp_path / "local", compute={"scratch": str(scratch)}, **options)
    stored = Study.make(tmp_path / "stored", compute={"scratch": str(scratch)}, **options)
    local.run(*UNTIL)
    upload(stored, server, "study/")
    said = stored.run(*UNTIL)

    found = pixels(stored)
    assert found == pixels(local) and len(found) > 10
    assert list(scratch.iterdir()) == []
    log = (stored.folder / "logs/small/tile_slide/s01.log").read_text()
    assert f"s01.tif: copied to {scratch}, " in log

    told = [(Path("its output"), said.encode()), *everything(stored.folder)]
    assert any(".snakemake" in path.parts for path, _ in told)
    for canary in (SECRET, SECRET[-12:], TOKEN):
        assert [path for path, content in told if canary.encode() in content] == []

    assert stored.would_run(*UNTIL) == {}
    server.put("study/s02.tif", tmp_path / "local/cohort/slides/s01.tif")
    assert "names a slide twice" in stored.snakemake(*UNTIL).stderr
    server.put("study/s02.tif", (tmp_path / "local/cohort/slides/s01.tif").read_bytes() + b"\0")
    assert stored.would_run(*UNTIL) == {"check_slide": 1, "mask_tissue": 1, "tile_slide": 1}


def test_storage_that_does_not_answer_stops_a_run_before_it_begins(server, tmp_path, monkeypatch):
    use(server, monkeypatch, tmp_path)
    study = Study.make(tmp_path / "study", slides=2, slides_per_shard=2, **UNLABELLED)
    upload(study, server, "other/")
    study.run("--until", "check_slide")
    before = study.tree()
    use(None, monkeypatch, tmp_path, AWS_MAX_ATTEMPTS="1")
    done = study.snakemake(*UNTIL)
    assert done.returncode == 1 and SECRET not in done.stdout + done.stderr
    assert "E_ENDPOINT: s3://slides-of-a-test/other/s01.tif: 127.0.0.1:9 does not" in done.stderr
    assert study.tree() == before

    use(server, monkeypatch, tmp_path)
    study.edit_config("compute", scratch="$UNSET_IN_THIS_TEST")
    done = study.snakemake(*UNTIL)
    log = (study.folder / "logs/small/mask_tissue").glob("*.log")
    assert done.returncode == 1
    assert "Stopped: E_SCRATCH: 2 of 2 slides failed" in next(log).read_text()
