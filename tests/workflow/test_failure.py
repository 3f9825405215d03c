"""Bad slides, bad settings, killed processes, damaged results: nothing lost, nothing silent."""

import contextlib
import shutil
import signal
import subprocess
import time

import cv2
import numpy as np
import psutil
import pytest

from tests.synthetic import draw_pixels, write_slide
from tests.workflow.study import Study

UNLABELLED = {"labels": {"level": "image", "classes": [], "negative": None}}
STRANGE = "sl ide é $(touch PWNED); #.tif"


def sheet_rows(study):
    return [line.split("\t") for line in study.sheet.read_text().splitlines()]


def write_rows(study, rows):
    study.sheet.write_text("".join("\t".join(row) + "\n" for row in rows))


def running_scripts(snakemake):
    """The stages that a Snakemake process is running; some end while they are looked at."""
    found = []
    for process in psutil.Process(snakemake).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(".snakemake/scripts" in part for part in process.cmdline()):
                found.append(process)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A study without labels (quick: nothing is trained), finished without trouble."""
    study = Study.make(tmp_path_factory.mktemp("undisturbed"), **UNLABELLED)
    study.run()
    return study


@pytest.fixture
def fresh(undisturbed, tmp_path):
    """The same study before its first run."""
    study = undisturbed.copy(tmp_path / "study")
    for made in ("results", "logs", ".snakemake"):
        shutil.rmtree(study.folder / made)
    return study


def test_one_bad_slide_stops_nothing_and_its_repair_costs_only_itself(undisturbed, fresh):
    slides = fresh.folder / "cohort" / "slides"
    bad = sorted(slides.glob("*.tif"))[0]
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 3])
    fresh.run()
    page = (fresh.results / "report.html").read_text()
    verdicts = (fresh.results / "verdicts.tsv").read_text()
    assert f"{bad.stem}\tE_" in verdicts and "Quarantined slides" in page
    others = {
        file: file.stat().st_mtime_ns for file in fresh.results.glob("features/*/manifest.json")
    }
    bad.write_bytes(whole)
    assert fresh.would_run()["check_slide"] == 1
    fresh.run()
    changed = [f.parent.name for f, seen in others.items() if f.stat().st_mtime_ns != seen]
    assert changed == [bad.stem]
    assert fresh.tree() == undisturbed.tree()


@pytest.mark.slow
def test_a_killed_controller_resumes_to_the_same_bytes(undisturbed, fresh):
    for seconds in (9, 16):
        snakemake = subprocess.Popen(
            fresh.command(), cwd=fresh.folder, env=fresh.environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(seconds)
        family = [psutil.Process(snakemake.pid), *psutil.Process(snakemake.pid).children(True)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        snakemake.wait()
        fresh.run("--unlock")
    fresh.run()
    assert fresh.tree() == undisturbed.tree()
    assert not list(fresh.results.rglob(".*.draft*"))


@pytest.mark.slow
def test_killed_jobs_resume_to_the_same_bytes(undisturbed, fresh):
    snakemake = subprocess.Popen(
        fresh.command(), cwd=fresh.folder, env=fresh.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    killed = 0
    while snakemake.poll() is None and killed < 3:
        time.sleep(2.5)
        jobs = running_scripts(snakemake.pid)
        for job in jobs[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                job.kill()
                killed += 1
    assert snakemake.wait() != 0 and killed
    fresh.run()
    assert fresh.tree() == undisturbed.tree()


def test_too_many_bad_slides_fail_the_study_and_are_named(fresh):
    fresh.edit_config(None, max_quarantined=0.2)
    bad = sorted((fresh.folder / "cohort" / "slides").glob("*.tif"))[:3]
    for slide in bad:
        slide.write_bytes(b"")
    done = fresh.snakemake("--until", "check_cohort")
    assert done.returncode != 0
    for slide in bad:
        assert slide.stem in done.stderr and "E_EMPTY" in done.stderr


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        ("tile_slide", {"tyle_px": 64}, "tyle_px"),
        ("train_classifier", {"learning_rate": "1e-4"}, "1.0e-4"),
        ("tile_slide", {"tile_px": -1}, "tile_px"),
        ("labels", {"negative": "healthy"}, "healthy"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_runs(fresh, section, values, sentence):
    fresh.edit_config(section, **values)
    done = fresh.snakemake()
    assert done.returncode != 0 and sentence in done.stderr + done.stdout
    assert not (fresh.results / "checks").exists()


def test_wrong_rows_are_all_listed_with_their_lines(fresh):
    rows = sheet_rows(fresh)
    rows[1][0] = "../evil"
    rows[3][1] = "slides/none.tif"
    write_rows(fresh, rows)
    done = fresh.snakemake()
    assert done.returncode != 0
    assert "line 2" in done.stderr and "../evil" in done.stderr
    assert "line 4" in done.stderr and "none.tif" in done.stderr


def test_one_slide_under_two_patients_is_refused(tmp_path):
    study = Study.make(tmp_path, slides=4, **UNLABELLED)
    rows = sheet_rows(study)
    slides = study.folder / "cohort"
    (slides / rows[3][1]).write_bytes((slides / rows[1][1]).read_bytes())
    done = study.snakemake("--dry-run")
    assert done.returncode != 0
    said = f"slides {rows[1][0]} and {rows[3][0]} are the same file"
    assert said in done.stderr + done.stdout


def test_the_same_tissue_under_two_patients_stops_the_study(tmp_path):
    """A slide that was turned and encoded anew: its file is another one, its pixels are not."""
    study = Study.make(tmp_path, slides=4, **UNLABELLED)
    pixels, _ = draw_pixels((1024, 1024), np.random.default_rng([0, 0]), dense=0)  # as s01 is
    encoded = cv2.imencode(".jpg", np.rot90(pixels), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    write_slide(study.folder / "cohort/slides/s03.tif", cv2.imdecode(encoded, 1), mpp=0.5)
    done = study.snakemake("--", "results/small/metrics.tsv")
    assert done.returncode != 0
    assert "E_TWIN: Slides s01 and s03, of patients p01 and p03, show the same" in done.stderr
    assert "What to do:" in done.stderr
    assert not (study.results / "audit.tsv").exists()
    assert not (study.results / "metrics.tsv").exists()


def test_a_strange_file_name_works_and_is_not_executed(fresh, undisturbed):
    rows = sheet_rows(fresh)
    source = fresh.folder / "cohort" / rows[1][1]
    source.rename(source.with_name(STRANGE))
    rows[1][1] = f"slides/{STRANGE}"
    write_rows(fresh, rows)
    fresh.run("--until", "tile_slide")
    unit = f"tiles/{rows[1][0]}/manifest.json"
    assert (fresh.results / unit).read_bytes() == (undisturbed.results / unit).read_bytes()
    assert not list(fresh.folder.rglob("PWNED"))


def test_a_second_run_does_nothing(undisturbed):
    assert "Nothing to be done" in undisturbed.run()
