"""A study whose slides are in object storage: no credential in what it leaves, no copy, exact."""

import os
from pathlib import Path

import pytest

from tests.stored import KEY_ID, SECRET, TOKEN, serving, use
from tests.workflow.study import Study
from workflow.lib.jobs.units import manifest

UNLABELLED = {"labels": {"level": "image", "classes": [], "negative": None}}
UNTIL = ("--until", "tile_slide")


@pytest.fixture(scope="module")
def server():
    with serving() as storage:
        yield storage


@pytest.fixture
def study(server, tmp_path, monkeypatch):
    """Two slides, put into the bucket, named there in the sheet, and gone from the disk."""
    use(server, monkeypatch, tmp_path)
    compute = {"scratch": str(tmp_path / "scratch")}
    made = Study.make(tmp_path, slides=2, slides_per_shard=2, compute=compute, **UNLABELLED)
    text = made.sheet.read_text()
    for file in sorted((made.folder / "cohort/slides").glob("*.tif")):
        text = text.replace(f"slides/{file.name}", str(server.put(f"study/{file.name}", file)))
        file.unlink()
    made.sheet.write_text(text)
    return made


def files(folder: Path) -> list[Path]:
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]


def test_a_study_in_object_storage(server, study, monkeypatch, tmp_path):
    said = study.run(*UNTIL)
    for name in ("s01", "s02"):
        assert manifest(study.results / "tiles" / name)["facts"]["tiles"] > 0
    scratch = tmp_path / "scratch"
    assert list(scratch.iterdir()) == []
    (log,) = (study.folder / "logs/small/tile_slide").glob("*.log")
    assert f"s01.tif: copied to {scratch}, " in log.read_text()

    told = {file: file.read_bytes() for file in files(study.folder)}
    assert any(".snakemake" in file.parts for file in told)
    for canary in (KEY_ID, SECRET, SECRET[-12:], TOKEN):
        assert canary not in said
        assert [file for file, content in told.items() if canary.encode() in content] == []

    assert study.would_run(*UNTIL) == {}
    first = server.client.get_object(Bucket="slides-of-a-test", Key="study/s01.tif")["Body"].read()
    server.put("study/s02.tif", first + b"\0")
    assert study.would_run(*UNTIL) == {"check_slide": 1, "mask_tissue": 1, "tile_slide": 1}
    server.put("study/s02.tif", first)
    assert "names a slide twice" in study.snakemake(*UNTIL).stderr

    before = study.tree()
    use(None, monkeypatch, tmp_path, AWS_MAX_ATTEMPTS="1")
    done = study.snakemake(*UNTIL)
    assert done.returncode == 1
    assert not any(canary in done.stdout + done.stderr for canary in (KEY_ID, SECRET, TOKEN))
    assert "E_ENDPOINT: s3://slides-of-a-test/study/s01.tif: 127.0.0.1:9 does not" in done.stderr
    assert study.tree() == before
