"""Clusters of the made-up study of outcome.py: its stages as Snakemake would call them."""

import shutil

import numpy as np

from tests.scripts import outcome
from workflow.lib.jobs.shard import Shard
from workflow.lib.tiles.stores import open_group
from workflow.scripts.assign_clusters import assign_clusters
from workflow.scripts.train_clusters import train_clusters


def train(study, fold=0, **changes):
    settings = {"count": 2, "pca": 3, "iterations": 20, "restarts": 2, "max_tiles": 1000, "seed": 0}
    settings |= {"fit_on": "train"} | changes
    made_of = outcome.shard("train_clusters")
    index = study / "clusters" / "kmeans" / f"fold{fold}.json"
    train_clusters(
        [study / "features" / "all.json"],
        study / "splits.tsv",
        index,
        shard=Shard("all", made_of.slides, made_of.recipe | {"settings": settings}),
        fold=fold,
        **settings,
    )
    return index.with_suffix("")


def assign(study, fold=0):
    assign_clusters(
        study / "features" / "all.json",
        study / "clusters" / "kmeans" / f"fold{fold}.json",
        study / "assignments" / "kmeans" / f"fold{fold}" / "all.json",
        shard=outcome.shard("assign_clusters"),
        fold=fold,
    )


def read(study, slide, fold=0):
    group = open_group(
        study / "assignments" / "kmeans" / f"fold{fold}" / slide / "assignments.zarr"
    )
    return group["assignments"][:], group["distance"][:]


def indices(study):
    return [study / "assignments" / "kmeans" / f"fold{fold}" / "all.json" for fold in (0, 1)]


def rewrite(study, slide, features, bad, **attrs):
    """Other features in the place of those of a slide."""
    path = study / "features" / slide / "features.zarr"
    shutil.rmtree(path)
    made_by = {"encoder": "made up", "mpp": 1.0} | attrs
    group = outcome.create_group(path, made_by)
    outcome.write_rows(group, "features", np.asarray(features, np.float32))
    outcome.write_rows(group, "bad", np.asarray(bad, bool))
    shutil.rmtree(study / "clusters", ignore_errors=True)


def spoil(study, slide, tile, value):
    """Replace one feature of a slide, under a new manifest."""
    path = study / "features" / slide / "features.zarr"
    features, bad = (open_group(path)[name][:] for name in ("features", "bad"))
    features[tile, 1] = value
    shutil.rmtree(path)
    group = outcome.create_group(path, {"encoder": "made up", "mpp": 1.0})
    outcome.write_rows(group, "features", features)
    outcome.write_rows(group, "bad", bad)
