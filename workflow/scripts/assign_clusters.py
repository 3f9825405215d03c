"""Give every tile the cluster that it is nearest to."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.clusters.clusters import Clusters, assign
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import create_group, open_group, write_rows

log = logging.getLogger(__name__)

BLOCK = 1 << 14  # features read at once


def assign_clusters(
    features: Path, clusters: Path, assignments: Path, *, shard: Shard, fold: int
) -> None:
    """Write the cluster (N,) int32 and the distance to it (N,) float32 of each slide's N tiles."""
    trained = clusters.with_suffix("")
    with np.load(trained / "clusters.npz") as arrays:
        found = Clusters(**arrays)
    made_by = manifest(trained)["facts"]["made_by"]

    def work(slide: Slide, folder: Path) -> dict:
        store = open_group(features.parent / slide.slide / "features.zarr")
        if dict(store.attrs) != made_by:
            raise ValueError(
                f"{slide.slide} has features of {dict(store.attrs)}, the clusters of fold {fold}"
                f" are of {made_by}: extract the features again"
            )
        array = store["features"]
        ids, distance = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        for start in range(0, array.shape[0], BLOCK):
            part = assign(array[start : start + BLOCK], found, first=start)
            ids.append(part[0])
            distance.append(part[1])
        group = create_group(folder / "assignments.zarr", {"fold": fold})
        write_rows(group, "assignments", np.concatenate(ids))
        write_rows(group, "distance", np.concatenate(distance))
        write_rows(group, "bad", store["bad"][:])
        return {"tiles": array.shape[0], "k": len(found.centroids)}

    visit(assignments, shard, work, upstream=[features.parent, trained])


if __name__ == "__main__":
    run(assign_clusters, globals().get("snakemake"))
