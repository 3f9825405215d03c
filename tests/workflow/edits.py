"""Edits of a finished study, and the rules that each of them makes run again."""

import os

from tests.workflow.stages import (
    AUDIT,
    CAMS,
    CHECK,
    CLASSIFIER,
    CLUSTERS,
    DECODER,
    EVIDENCE,
    FEATURES,
    LEARNING,
    MASK_SCORES,
    PSEUDO_MASKS,
    REFINE,
    REPORT,
    SPLITS,
    STITCH,
    TILES,
    TISSUE,
)


def edit(study, file, old, new, *, keep_time=False):
    path = study.folder / file
    stat, text = path.stat(), path.read_text()
    assert old in text, f"{file} no longer holds {old!r}"
    path.write_text(text.replace(old, new, 1))
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, 10**18))


def shuffle_and_comment(study):
    lines = study.config.read_text().split("\n")
    assert lines[0].startswith("draw_embeddings")
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


def start_from_deepcluster(study):
    study.edit_config("cluster", method="deepcluster")
    study.edit_config("train_classifier", checkpoint="deepcluster")


LIB = "workflow/lib"
SCRIPTS = "workflow/scripts"
EDITS = {
    "nothing": (lambda s: None, set()),
    "tiles to explain": (
        lambda s: s.edit_config("explain_tiles", occlusion_px=30),
        {"explain_tiles"} | REPORT,
    ),
    "nothing explained": (
        lambda s: s.edit_config("explain_tiles", most_certain=0, least_certain=0),
        REPORT,
    ),
    "key order and a comment": (shuffle_and_comment, set()),
    "3 written as 3.0": (lambda s: s.edit_config("train_clusters", count=3.0), set()),
    "device and batch": (
        lambda s: s.edit_config("compute", device="cpu", batch=7),
        set(),
    ),
    "the patience and memory of the check, and where slides are copied to": (
        lambda s: s.edit_config(
            "compute", check_timeout_s=500, check_memory_mb=5000, scratch="$TMPDIR"
        ),
        set(),
    ),
    "threads": (lambda s: edit(s, "workflow/rules/decode.smk", "threads: 4", "threads: 1"), set()),
    "memory": (lambda s: edit(s, "workflow/rules/tile.smk", "memory(1500)", "memory(99)"), set()),
    "every file touched": (touch_everything, set()),
    "a comment and a docstring in a library module": (
        lambda s: edit(s, f"{LIB}/maps/stitching.py", '"""', '"""Other words. '),
        set(),
    ),
    "the plumbing": (
        lambda s: edit(s, f"{LIB}/jobs/units.py", "import os\n", "import os\n\nX = 1\n"),
        set(),
    ),
    "mpp": (lambda s: s.edit_config("tile_slide", mpp=1.25), TILES),
    "one setting of the tissue mask": (
        lambda s: s.edit_config("mask_tissue", close_um=41.0),
        TISSUE,
    ),
    "a swapped pair of values": (
        lambda s: s.edit_config(
            "train_negev",
            epochs=1,
            foreground_pixels=2,
            background_pixels=1,
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
    "what counts as the same tissue": (
        lambda s: s.edit_config("audit_folds", correlation=0.7),
        AUDIT,
    ),
    "the engine of the encoder": (
        lambda s: s.edit_config("extract_features", engine="openvino"),
        FEATURES,
    ),
    "clusters": (lambda s: s.edit_config("train_clusters", count=4), CLUSTERS),
    "slides that clusters are fitted to": (
        lambda s: s.edit_config("cluster", fit_on="all"),
        CLUSTERS,
    ),
    "clusters that a network learns": (
        lambda s: s.edit_config("cluster", method="deepcluster"),
        LEARNING,
    ),
    "a classifier that starts from that network": (start_from_deepcluster, LEARNING | CLASSIFIER),
    "tiles drawn evenly over clusters": (
        lambda s: s.edit_config("train_classifier", balance="clusters"),
        CLASSIFIER,
    ),
    "evidence of alike locations": (
        lambda s: s.edit_config("make_cams", consistency=0.5),
        {"pool_evidence"} | CAMS,
    ),
    "cams of another method to compare with": (
        lambda s: s.edit_config("make_cams", methods=["cam", "layercam"]),
        {"make_cams"} | EVIDENCE | REFINE,
    ),
    "cams of another method to build on": (
        lambda s: s.edit_config("make_cams", methods=["layercam", "cam"]),
        CAMS,
    ),
    "glands to build on": (
        lambda s: s.edit_config("make_cams", methods=["glands", "cam"]),
        {"map_glands"} | CAMS,
    ),
    "glands that nothing is built on": (
        lambda s: s.edit_config("map_glands", wall_um=30.0),
        REPORT,
    ),
    "mirrored tiles in the cams": (lambda s: s.edit_config("make_cams", flips=True), CAMS),
    "a setting of a method of the cams that is not used": (
        lambda s: s.edit_config("make_cams", smooth_samples=9, score_channels=9),
        REPORT,
    ),
    "how many masks choose where none does, and a random field that is off": (
        lambda s: s.edit_config("train_negev", masks=9, crf_px=50.0),
        REPORT,
    ),
    "masks that choose the epochs of a decoder": (
        lambda s: s.edit_config("train_negev", choose_by="masks"),
        DECODER,
    ),
    "seed": (
        lambda s: s.edit_config(None, seed=1),
        SPLITS | FEATURES | {"evaluate_classifier"},
    ),
    "an imported library function": (
        lambda s: edit(s, f"{LIB}/maps/stitching.py", "def ", "X = 1\n\n\ndef "),
        STITCH,
    ),
    "a library function imported by an imported one, with an old time": (
        lambda s: edit(
            s, f"{LIB}/tiles/codecs.py", "register_codec(", "X = 1\nregister_codec(", keep_time=True
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
    "labels that mean nothing": (lambda s: s.edit_config("labels", permute=True), SPLITS),
    "files for other programs": (
        lambda s: s.edit_config("export_features", formats=["stamp"]),
        set(),
    ),
    "a truth mask": (change_truth, MASK_SCORES),
    "a method left out": (
        lambda s: s.edit_config("refine_masks", methods=["none"]),
        AUDIT,
    ),
    "IRNet beside the others": (
        lambda s: s.edit_config("refine_masks", methods=["none", "negev", "irn"]),
        {"train_irn"} | REFINE,
    ),
    "a slide replaced, its time kept": (replace_slide_keeping_its_time, CHECK),
    "a slide added": (add_slide, CHECK | SPLITS),
}
