"""What a run leaves is told from logs and indices: causes, slides, stages, remedies."""

import errno
import shutil

import pytest
import torch

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.aftermath import read_failure, tell_failures, tell_slides
from workflow.lib.jobs.job import with_code
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.buckets import StorageError

LINE = "2026-11-29 06:25:55,992 ERROR Stopped: {}\n"


@pytest.fixture
def results(tmp_path):
    """Three slides, one of which is put aside, through two stages; the second knows two of them."""
    slides = [Slide(name, tmp_path / f"{name}.tif", name) for name in ("a", "b", "c")]

    def work(slide, folder):
        if slide.slide == "b":
            raise Quarantine("E_EMPTY", "b.tif: the file is empty (0 bytes).")

    for stage, known in (("checks", slides), ("tiles", slides[1:])):
        recipe = {"rule": stage, "slides": {slide.slide: None for slide in known}}
        upstream = [tmp_path / "checks"] if stage == "tiles" else []
        shard = Shard("all", known, recipe)
        visit(tmp_path / stage / "all.json", shard, work, upstream=upstream)
    return tmp_path


def test_the_log_says_why_a_job_failed(tmp_path):
    log = tmp_path / "a.log"
    log.write_text(LINE.format("E_DISK: old") + "more\n" + LINE.format("E_JOB: a: bad: value"))
    failure = read_failure("tile_slide", log)
    assert (failure.code, failure.sentence) == ("E_JOB", "a: bad: value")
    log.write_text(LINE.format("E_LEAK: It leaks:\n  E_FOLD: s1 is.") + "Traceback (most\n")
    leak = read_failure("audit_folds", log)
    assert leak.sentence == "It leaks:\n  E_FOLD: s1 is."
    assert tell_failures([leak])[1:3] == [
        f"  audit_folds: E_LEAK: It leaks: ({log})",
        "      E_FOLD: s1 is.",
    ]
    log.write_text(LINE.format("E_LOST: 12 of 20:" + "\n  a: E_MPP" * 12))
    told = tell_failures([read_failure("check_cohort", log)])
    assert told.count("      a: E_MPP") == 10 and "    and 2 more lines, in its log" in told
    log.write_text("2026-11-29 INFO begun\n")
    assert read_failure("tile_slide", log).code == "E_KILLED"
    assert read_failure("tile_slide", tmp_path / "none.log").code == "E_KILLED"


def test_failures_are_told_with_one_remedy_a_code(tmp_path):
    failures = [read_failure(f"rule{i}", tmp_path / f"{i}.log") for i in range(12)]
    lines = tell_failures(failures)
    assert sum("E_KILLED" in line for line in lines) == 10 + 1
    assert "  and 2 more jobs" in lines and f"({tmp_path / '0.log'})" in lines[1]


def test_slides_and_stages_are_counted_from_indices(results):
    lines = tell_slides(results, standing=True)
    assert lines == [
        "Slides put aside, 1 of 3:",
        "  b: E_EMPTY: b.tif: the file is empty (0 bytes).",
        "  What to do, E_EMPTY: The file holds no bytes: copy the slide again from the scanner or"
        " the archive.",
        f"What stands in {results}, of 3 slides:",
        "  checks: 2",
        "  tiles: 1",
    ]
    assert tell_slides(results, standing=False) == lines[:3]


def test_folds_of_a_stage_are_counted_together(results):
    for fold, stage in (("fold1", "checks"), ("fold0", "tiles")):
        shutil.copytree(results / stage, results / "scores" / fold)
    lines = tell_slides(results, standing=True)
    assert "  scores: 2" in lines and lines[0] == "Slides put aside, 1 of 3:"


def test_units_of_a_job_that_failed_are_counted_without_their_index(results):
    (results / "tiles/all.json").unlink()
    shutil.rmtree(results / "checks/a")
    assert tell_slides(results, standing=True)[-2:] == ["  checks: 1", "  tiles: 1"]


def test_a_study_without_results_has_nothing_to_tell(tmp_path):
    assert tell_slides(tmp_path, standing=True) == []
    (tmp_path / "torn.json").write_text("{")
    assert tell_slides(tmp_path, standing=True) == []


def test_errors_get_a_code_unless_they_have_one():
    assert with_code(ValueError("s1: odd")) == "E_JOB: s1: odd"
    assert with_code(ValueError("E_LOST: 3 of 8")) == "E_LOST: 3 of 8"
    assert with_code(OSError(errno.ENOSPC, "No space left")).startswith("E_DISK: ")
    assert with_code(MemoryError()) == "E_MEMORY: MemoryError"
    assert with_code(torch.cuda.OutOfMemoryError("4 GiB")) == "E_MEMORY: 4 GiB"
    outer = RuntimeError("2 of 3 slides failed")
    outer.__cause__ = MemoryError("alloc")
    assert with_code(outer) == "E_MEMORY: 2 of 3 slides failed"
    outer.__cause__ = StorageError("E_ENDPOINT", "s3://b/k: nobody answers")
    assert with_code(outer) == "E_ENDPOINT: 2 of 3 slides failed"
    assert with_code(outer.__cause__) == "E_ENDPOINT: s3://b/k: nobody answers"
    outermost = RuntimeError("fold 1")
    outermost.__cause__ = outer
    assert with_code(outermost) == "E_ENDPOINT: fold 1"


def test_storage_that_fails_in_a_job_fails_the_job_and_puts_no_slide_aside(tmp_path):
    def work(slide, folder):
        raise StorageError("E_SCRATCH", "there is no room")

    recipe = {"rule": "tile_slide", "slides": {}}
    shard = Shard("all", [Slide("s1", None, "p"), Slide("s2", None, "p")], recipe)
    with pytest.raises(RuntimeError) as caught:
        visit(tmp_path / "all.json", shard, work)
    assert with_code(caught.value).startswith("E_SCRATCH: 2 of 2 slides failed, ")
    assert list(tmp_path.iterdir()) == []
