"""The made-up study of outcome.py with what exports are made of, as Snakemake calls stages."""

import numpy as np

from tests.scripts import cluster_study, outcome
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import write_table
from workflow.scripts.export_cohort import export_cohort
from workflow.scripts.export_features import export_features
from workflow.scripts.export_tiles import export_tiles
from workflow.scripts.gather_exports import gather_exports

FOLDS = (0, 1)
PLANE = [("a1", 2, 1.5, -2.0), ("e", 0, 0.25, 4.0)]  # slide, tile, x, y


def shard(rule, **settings):
    made_of = outcome.shard(rule)
    return Shard("all", made_of.slides, made_of.recipe | {"settings": settings})


def heat(slide):
    """A map whose mean differs from tile to tile."""
    rows = np.arange(outcome.HEIGHT)[:, None] / outcome.HEIGHT
    return np.broadcast_to(rows, (outcome.HEIGHT, outcome.WIDTH))


def build(study):
    outcome.build(study)
    outcome.write_scores(study, lambda slide: np.linspace(0.1, 0.6, 6))
    outcome.write_maps(study, "negev", heat)
    for fold in FOLDS:
        cluster_study.train(study, fold)
        cluster_study.assign(study, fold)

    def draw(folder):
        names = ("slide", "tile", "x", "y")
        rows = [dict(zip(names, place, strict=True)) for place in PLANE]
        write_table(folder / "embedding.tsv", names, rows)

    commit(study / "embedding_maps/kmeans/fold0.json", shard("draw_embeddings"), draw)


def write_features(study, formats=("trident", "clam", "stamp")):
    given = {"formats": list(formats)}
    index = study / "feature_files/all.json"
    where = (study / "tiles/all.json", study / "features/all.json", index)
    export_features(*where, shard=shard("export_features", **given), **given)
    return index.parent


def write_tiles(study, methods=("negev",), *, labelled=True):
    index = study / "tile_tables/all.json"
    scores = [study / f"scores/fold{fold}/all.json" for fold in FOLDS] if labelled else []
    refined = [study / f"refined/{m}/fold{fold}/all.json" for m in methods for fold in FOLDS]
    export_tiles(
        study / "tiles/all.json",
        cluster_study.indices(study),
        scores,
        refined,
        study / "splits.tsv",
        index,
        shard=shard("export_tiles"),
        classes=outcome.CLASSES if labelled else [],
    )
    return index.parent


def write_cohort(study):
    folder = study / "exports"
    folder.mkdir(exist_ok=True)
    export_cohort(
        [study / "tile_tables/all.json"],
        [study / "features/all.json"],
        study / "embedding_maps/kmeans/fold0.json",
        *(folder / name for name in ("cohort.h5ad", "tiles.parquet", "tiles.tsv")),
        shard=shard("export_cohort"),
        map="tsne",
    )
    return folder


def gather(study, program, *stages):
    index = study / f"exports/{program}.json"
    units = [study / stage / "all.json" for stage in stages]
    gather_exports(units, index, shard=shard("gather_exports"), program=program)
    return index.with_suffix("")
