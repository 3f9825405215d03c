"""One edit, exactly these rules: the promise of DESIGN section "Staleness", as a table.

The study that is edited is also the one that is run without a network, over slides that carry the
names of patients: what it needs and what it gives away is tested here, because a run is dear.
"""

import shutil
import socket
import subprocess
import sys

import pytest

from tests.workflow import canaries
from tests.workflow.edits import EDITS, replace_slide_keeping_its_time
from tests.workflow.stages import CAMS, EVIDENCE, STITCH
from tests.workflow.study import Study
from workflow.lib.jobs.inheriting import begin_with

OFFLINE = ("unshare", "--map-root-user", "--net")  # not even loopback is up in there


@pytest.fixture(scope="module")
def offline():
    """What starts a command without a network; nothing where the kernel does not allow it."""
    allowed = subprocess.run([*OFFLINE, "true"], capture_output=True, text=True, check=False)
    if allowed.returncode and "not permitted" in allowed.stderr:
        return ()
    assert allowed.returncode == 0, allowed.stderr
    return OFFLINE


@pytest.fixture(scope="module")
def finished(tmp_path_factory, offline):
    """A study that ran to its report, once for this module."""
    study = Study.make(tmp_path_factory.mktemp("finished"))
    canaries.plant(study.folder / "cohort/slides")
    with pytest.MonkeyPatch.context() as patch:
        for name, secret in canaries.SECRETS.items():
            patch.setenv(name, secret)
        (study.folder / "terminal.txt").write_text(study.run(within=offline))
    return study


def test_a_study_needs_no_network(finished, offline):
    if not offline:
        pytest.skip("the kernel gives no network namespace here, so that the run had a network")
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial = f"import socket; socket.create_connection({server.getsockname()}, timeout=9)"
        command = [sys.executable, "-c", dial]
        assert subprocess.run(command, check=False).returncode == 0
        cut_off = subprocess.run([*offline, *command], capture_output=True, check=False)
    assert b"unreachable" in cut_off.stderr
    assert (finished.results / "report.html").is_file()


def test_no_name_no_label_and_no_secret_leaves_a_slide_or_the_environment(finished):
    """In results, logs, .snakemake and the terminal, compressed stores and pictures included."""
    assert canaries.find(finished.folder) == canaries.PLANTED


@pytest.fixture
def study(finished, tmp_path):
    return finished.copy(tmp_path / "study")


@pytest.fixture
def planned(finished, tmp_path):
    return finished.beside(tmp_path / "study")


@pytest.mark.parametrize("name", EDITS)
def test_one_edit_exactly_these_rules(planned, name):
    change, expected = EDITS[name]
    change(planned)
    assert set(planned.would_run()) == expected


def test_a_replaced_slide_reruns_its_shard_only(study):
    shards = len(list(study.results.glob("checks/*.json")))
    replace_slide_keeping_its_time(study)
    jobs = study.would_run()
    assert shards > 1
    assert {jobs[rule] for rule in ("check_slide", "mask_tissue", "tile_slide")} == {1}


def test_a_further_method_of_the_cams_leaves_what_is_made_alone(study):
    """Its own jobs only: the cams, masks and heatmaps of the others stand."""
    made = study.would_run("--forceall")
    study.edit_config("make_cams", methods=["cam", "layercam"])
    jobs = study.would_run()
    methods = 2  # none and negev, beside which it is a third
    for rule in ("refine_masks", "stitch_heatmap", "draw_overlay", "evaluate_masks"):
        assert jobs[rule] == made[rule] / methods
    assert jobs["make_cams"] == made["make_cams"]


def test_a_removed_snakemake_folder_hides_nothing_and_reruns_nothing(study):
    shutil.rmtree(study.folder / ".snakemake")
    assert set(study.would_run()) == set()
    study.edit_config("stitch_heatmap", window="flat")
    assert set(study.would_run()) == STITCH
    study.edit_config("evaluate_classifier", bootstrap=101)
    assert set(study.would_run()) == STITCH | {"evaluate_classifier"}


def test_older_results_copied_over_newer_ones_are_stale(study):
    for index in study.results.glob("heatmaps/*/*.json"):
        text = index.read_text()
        assert '"min_polygon_um2":1000' in text
        index.write_text(text.replace('"min_polygon_um2":1000', '"min_polygon_um2":999'))
    assert set(study.would_run()) == STITCH


def test_a_rerun_makes_only_the_slide_that_changed(study):
    replace_slide_keeping_its_time(study)
    before = {path: path.stat().st_mtime_ns for path in study.results.glob("tiles/*/manifest.json")}
    study.run("--until", "tile_slide")
    after = {path: path.stat().st_mtime_ns for path in before}
    assert sum(after[path] != before[path] for path in before) == 1


def test_going_back_to_old_settings_makes_the_same_bytes(study):
    before = study.tree()
    study.edit_config("stitch_heatmap", window="flat")
    study.run()
    assert study.tree() != before
    study.edit_config("stitch_heatmap", window="hann")
    study.run()
    assert study.tree() == before


def test_explain_says_key_old_and_new(study):
    study.edit_config("tile_slide", mpp=1.25)
    told = subprocess.run(
        [sys.executable, "-m", "workflow.tools.explain", "--configfile", "study.yaml"],
        cwd=study.folder, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "tile_slide: 2 jobs over 8 slides\n    mpp: 1 -> 1.25" in told
    assert "extract_features: 2 jobs over 8 slides\n    a stage before it runs" in told
    assert "check_slide" not in told


def test_a_study_that_begins_with_another_makes_what_differs(study):
    begin_with(study.results, study.results.with_name("again"))
    study.edit_config(None, study="again")
    metrics = "results/again/metrics.tsv"
    assert set(study.would_run("--", metrics)) == {"audit_folds", "summarise_study"}
    study.edit_config("make_cams", consistency=0.5)
    off_the_way = EVIDENCE | {"draw_overlay", "explain_tiles"}
    assert set(study.would_run("--", metrics)) == {"pool_evidence"} | CAMS - off_the_way
    study.edit_config("make_cams", consistency=0)
    study.run("--", metrics)
    assert (study.folder / metrics).read_bytes() == (study.results / "metrics.tsv").read_bytes()
