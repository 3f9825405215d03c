"""One edit, exactly these rules: the promise of DESIGN section "Staleness", as a table."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.workflow.study import LEARNT, Study

REPORT = {"write_report"}
SUMMARY = {"summarise_study"} | REPORT
MASK_SCORES = {"evaluate_masks"} | SUMMARY
STITCH = {"stitch_heatmap", "draw_overlay"} | MASK_SCORES
REFINE = {"refine_masks"} | STITCH
DECODER = {"train_decoder"} | REFINE
PSEUDO_MASKS = {"make_pseudo_masks"} | DECODER
CAMS = {"make_cams"} | PSEUDO_MASKS
CLASSIFIER = {"train_classifier", "classify_tiles", "evaluate_classifier"} | CAMS
CLUSTERED = {
    "assign_clusters", "draw_montages", "draw_cluster_maps", "draw_embeddings", "evaluate_clusters",
} | SUMMARY  # fmt: skip
CLUSTERS = {"train_clusters"} | CLUSTERED
# Where a network learnt the clusters, and the classifier starts from it and draws by its clusters.
NETWORK = {
    "train_deepcluster", "embed_tiles", "draw_networks", "probe_networks", "evaluate_probes",
    "pool_evidence",
} | CLUSTERED | CLASSIFIER  # fmt: skip
FEATURES = {"extract_features"} | CLUSTERS
TILES = {"tile_slide"} | FEATURES | CLASSIFIER
TISSUE = {"mask_tissue"} | TILES
CHECK = {"check_slide", "check_cohort"} | TISSUE
SPLITS = {"split_patients"} | CLUSTERS | CLASSIFIER


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that ran to its report, once for this module."""
    study = Study.make(tmp_path_factory.mktemp("finished"))
    study.run()
    return study


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A study whose clusters a network learnt, with every use of them switched on."""
    study = Study.make(tmp_path_factory.mktemp("learnt"), **LEARNT)
    study.run()
    return study


@pytest.fixture
def study(finished, tmp_path):
    return finished.copy(tmp_path / "study")


def edit(study, file, old, new, *, keep_time=False):
    path = study.folder / file
    stat, text = path.stat(), path.read_text()
    assert old in text, f"{file} no longer holds {old!r}"
    path.write_text(text.replace(old, new, 1))
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, 10**18))


def shuffle_and_comment(study):
    lines = study.config.read_text().split("\n")
    assert lines[0].startswith("evaluate_classifier")
    sections = study.config.read_text().split("\ns")
    study.config.write_text("# words\ns" + "\ns".join(reversed(sections[1:])) + "\n" + sections[0])


def touch_everything(study):
    for file in study.folder.rglob("*"):
        top = file.relative_to(study.folder).parts[0]
        if file.is_file() and top not in ("results", ".snakemake"):
            os.utime(file)


def replace_slide_keeping_its_time(study):
    slides = sorted((study.folder / "cohort").rglob("*.tif*"))
    stat = slides[0].stat()
    data = slides[0].read_bytes()
    slides[0].write_bytes(data + b"\0")
    os.utime(slides[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))


def add_slide(study):
    folder = study.folder / "cohort"
    sheet = folder / "slides.tsv"
    rows = sheet.read_text().splitlines()
    header, first = rows[0].split("\t"), rows[1].split("\t")
    row = dict(zip(header, first, strict=True))
    source = folder / row["path"]
    added = source.with_name(f"added{source.suffix}")
    added.write_bytes(source.read_bytes() + b"\0")
    row |= {"slide": "added", "path": str(added.relative_to(folder)), "patient": "added"}
    sheet.write_text("\n".join([*rows, "\t".join(row[name] for name in header)]) + "\n")


def change_label(study):
    sheet = study.folder / "cohort" / "slides.tsv"
    rows = [line.split("\t") for line in sheet.read_text().splitlines()]
    column = rows[0].index("patient")
    rows[1][column] = "somebody-else"
    sheet.write_text("\n".join("\t".join(row) for row in rows) + "\n")


def change_truth(study):
    mask = sorted((study.folder / "cohort").rglob("*.png"))[0]
    mask.write_bytes(mask.read_bytes() + b"\0")


LIB = "workflow/lib"
SCRIPTS = "workflow/scripts"
EDITS = {
    "nothing": (lambda s: None, set()),
    "key order and a comment": (shuffle_and_comment, set()),
    "3 written as 3.0": (lambda s: s.edit_config("train_clusters", count=3.0), set()),
    "device and batch": (
        lambda s: s.edit_config("compute", device="cpu", batch=7),
        set(),
    ),
    "the patience and memory of the check": (
        lambda s: s.edit_config("compute", check_timeout_s=500, check_memory_mb=5000),
        set(),
    ),
    "threads": (lambda s: edit(s, "workflow/rules/refine.smk", "threads: 4", "threads: 1"), set()),
    "memory": (lambda s: edit(s, "workflow/rules/tile.smk", "memory(1500)", "memory(99)"), set()),
    "every file touched": (touch_everything, set()),
    "a comment and a docstring in a library module": (
        lambda s: edit(s, f"{LIB}/stitching.py", '"""', '"""Other words. '),
        set(),
    ),
    "the plumbing": (
        lambda s: edit(s, f"{LIB}/units.py", "import os\n", "import os\n\nX = 1\n"),
        set(),
    ),
    "mpp": (lambda s: s.edit_config("tile_slide", mpp=1.25), TILES),
    "one setting of the tissue mask": (
        lambda s: s.edit_config("mask_tissue", close_um=41.0),
        TISSUE,
    ),
    "a swapped pair of values": (
        lambda s: s.edit_config(
            "train_decoder",
            negev={"epochs": 1, "foreground_pixels": 2, "background_pixels": 1},
        ),
        DECODER,
    ),
    "the window of the stitching": (
        lambda s: s.edit_config("stitch_heatmap", window="flat"),
        STITCH,
    ),
    "thresholds of pseudo-masks": (
        lambda s: s.edit_config("make_pseudo_masks", foreground=0.7),
        PSEUDO_MASKS,
    ),
    "learning rate": (
        lambda s: s.edit_config("train_classifier", learning_rate=2.0e-3),
        CLASSIFIER,
    ),
    "bootstrap of the masks": (
        lambda s: s.edit_config("evaluate_masks", bootstrap=101),
        MASK_SCORES,
    ),
    "clusters": (lambda s: s.edit_config("train_clusters", count=4), CLUSTERS),
    "seed": (
        lambda s: s.edit_config(None, seed=1),
        SPLITS | FEATURES | {"evaluate_classifier"},
    ),
    "an imported library function": (
        lambda s: edit(s, f"{LIB}/stitching.py", "def ", "X = 1\n\n\ndef "),
        STITCH,
    ),
    "a library function imported by an imported one, with an old time": (
        lambda s: edit(
            s, f"{LIB}/codecs.py", "register_codec(", "X = 1\nregister_codec(", keep_time=True
        ),
        TILES,
    ),
    "a script, with an old time": (
        lambda s: edit(
            s, f"{SCRIPTS}/make_pseudo_masks.py", "def ", "X = 1\n\n\ndef ", keep_time=True
        ),
        PSEUDO_MASKS,
    ),
    "a patient in the sheet": (change_label, SPLITS),
    "a truth mask": (change_truth, MASK_SCORES),
    "a method left out": (
        lambda s: s.edit_config("refine_masks", methods=["none"]),
        SUMMARY,
    ),
    "a slide replaced, its time kept": (replace_slide_keeping_its_time, CHECK),
    "a slide added": (add_slide, CHECK | SPLITS),
}


EDITS_OF_THE_LEARNT = {
    "nothing": (lambda s: None, set()),
    "the rounds of DeepCluster": (lambda s: s.edit_config("train_deepcluster", rounds=3), NETWORK),
    "k-means, which is not used": (lambda s: s.edit_config("train_clusters", count=4), REPORT),
    "slides that clusters are fitted to": (
        lambda s: s.edit_config("cluster", fit_on="all"),
        NETWORK,
    ),
    "the share of pooled evidence": (lambda s: s.edit_config("make_cams", consistency=0.4), CAMS),
    "the clusters of locations": (
        lambda s: s.edit_config("pool_evidence", count=4),
        {"pool_evidence"} | CAMS,
    ),
    "the penalty of the probes": (
        lambda s: s.edit_config("probe_networks", penalty=2.0),
        {"probe_networks", "evaluate_probes"} | SUMMARY,
    ),
    "another clustering": (
        lambda s: s.edit_config("cluster", method="dcec"),
        {"train_dcec"} | NETWORK - {"train_deepcluster"},
    ),
}


@pytest.mark.parametrize("name", EDITS_OF_THE_LEARNT)
def test_one_edit_of_a_learnt_clustering_exactly_these_rules(learnt, tmp_path, name):
    study = learnt.copy(tmp_path / "study")
    change, expected = EDITS_OF_THE_LEARNT[name]
    change(study)
    assert set(study.would_run()) == expected


@pytest.mark.parametrize("name", EDITS)
def test_one_edit_exactly_these_rules(study, name):
    change, expected = EDITS[name]
    change(study)
    assert set(study.would_run()) == expected


def test_a_replaced_slide_reruns_its_shard_only(study):
    shards = len(list(study.results.glob("checks/*.json")))
    replace_slide_keeping_its_time(study)
    jobs = study.would_run()
    assert shards > 1
    assert {jobs[rule] for rule in ("check_slide", "mask_tissue", "tile_slide")} == {1}


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
