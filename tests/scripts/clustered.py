"""The clusters of a finished study (`reported.Finished`): units, pictures, tables of one fold."""

import numpy as np
from PIL import Image

from workflow.lib.clusters.cluster_questions import ENRICHMENT
from workflow.lib.jobs.shard import commit
from workflow.lib.jobs.tables import metric_row, write_table
from workflow.lib.tiles.stores import Tiles, create_group, write_rows

PAGES = {
    "embedding_maps": ("embedding.png", "neighbours.png"),
    "networks": ("filters.png", "activations.png"),
}
LIMITS = {
    "deepcluster": {"stop": {"nmi": 0.95, "churn": 0.01}},
    "dcec": {"tolerance": 0.001},
}
CURVES = [
    {"epoch": 1, "split": "train", "loss": 3.0, "kmeans_loss": 0.5, "nmi": None, "probe": 0.6},
    {"epoch": 2, "split": "train", "loss": 2.0, "kmeans_loss": 0.25, "nmi": 0.5, "probe": 0.7},
    {"epoch": 3, "split": "train", "loss": 1.0, "kmeans_loss": 0.125, "nmi": 0.75, "probe": 0.6},
]


def build(study):
    """Two clusters, by k-means or by a network that learnt them."""
    learnt = study.clustering != "kmeans"

    def cluster(folder):
        made_by = {"encoder": "net9", "checkpoint": "random"}
        facts = {"k": 2, "n_tiles": 4, "n_slides": 2, "made_by": made_by}
        if learnt:
            (folder / "model.safetensors").write_bytes(b"learnt")
            rows = [row | {"churn": row["nmi"]} for row in CURVES]
            write_table(folder / "curves.tsv", rows[0], rows)
            facts |= {"best_epoch": 2, "chosen_by": "a probe", "stopped_by": "enough was enough"}
            facts |= {"start_probe": 0.5625} if study.clustering == "deepcluster" else {}
        return facts

    def draw_montage(folder):
        picture("montage.png", (100, 1600))(None, folder)
        rows = [{"cluster": 0, "patients": 2}, {"cluster": 1, "patients": 1}]
        write_table(folder / "sizes.tsv", rows[0], rows)
        return {"k": 2}

    tiles = study.root / "tiles"
    study.visit(f"assignments/{study.clustering}/fold0", assign(tiles), [tiles])
    trained = study.shard("train", **LIMITS.get(study.clustering, {}))
    commit(study.of_clusters("clusters"), trained, cluster)
    commit(study.of_clusters("montages"), study.shard("draw_montages"), draw_montage)
    for stage, names in PAGES.items():
        if stage != "networks" or learnt:
            commit(study.of_clusters(stage), study.shard("draw"), pictures(names))


def assign(tiles):
    """Work that puts the first tile of a slide into cluster 1, and the others into cluster 0."""

    def work(slide, folder):
        count = len(Tiles(tiles / slide.slide / "tiles.zarr"))
        store = create_group(folder / "assignments.zarr")
        write_rows(store, "assignments", (np.arange(count) == 0).astype(np.int32))
        return {"k": 2, "tiles": count}

    return work


def enrichment(study):
    cells = [(0, 0, "patient", study.words["patient"], 3, 1, 0.75, 0.25, 1.5, None, None)]
    if study.classes:
        normal, tumour = study.classes
        cells.append((0, 0, "label", normal, 3, 2, 0.75, 0.5, 0.585, 0.25, 0.875))
        cells.append((0, 0, "label", tumour, 1, 1, 0.25, 0.5, -2.0, -3.0, 0.5))
    return [dict(zip(ENRICHMENT, row, strict=True)) for row in cells]


def metrics(study):
    tile = {"fold": "all", "level": "tile", "n": 3}
    own = tile | {"method": study.clustering}
    rows = [
        metric_row(name, value, **own)
        for name, value in (("nmi", 0.25), ("nmi_patient", 0.5), ("patient_chance", 0.125))
    ]
    rows.append(metric_row("patient_accuracy", 0.5, (0.25, 0.75), **own))
    if study.clustering != "kmeans":
        for network, value in ((study.clustering, 0.75), ("random", 0.625)):
            about = tile | {"method": f"probe {network} layer1 (stride 4)"}
            rows.append(metric_row("auroc", value, (0.5, 1.0), **about))
    return rows


def pictures(names):
    def work(folder):
        for name in names:
            picture(name, (60, 90))(None, folder)
        return {}

    return work


def picture(name, shape):
    def work(slide, folder):
        Image.new("RGB", shape[::-1], (0, 120, 60)).save(folder / name)
        return {}

    return work
