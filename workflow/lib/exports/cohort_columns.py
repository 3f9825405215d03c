"""The tiles of all slides as AnnData has them: names, observations, places on a plane."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

AXES = {"x_px0": "x", "y_px0": "y"}  # what scverse calls them
NUMBERED = ("fold", "cluster", "cluster_fold")  # numbers that are names


def tile_names(table: pa.Table) -> list[str]:
    """An id for every tile: slide/tile, which no other tile of the study has."""
    pairs = zip(table["slide"].to_pylist(), table["tile_id"].to_pylist(), strict=True)
    return [f"{slide}/{tile}" for slide, tile in pairs]


def observations(table: pa.Table) -> dict[str, np.ndarray]:
    """Columns of obs (N,) from a table of `tile_tables`; text as objects, None where unknown.

    Every fold has clusters of its own, so that a cluster is named by both: "f0c3" is cluster 3 of
    fold 0. Of numbers that nobody knows NaN is told. A slash, which AnnData has no names with,
    becomes a bar, which no class is called with.
    """
    columns = {}
    for name in table.column_names:
        values = table[name]
        if name in NUMBERED:
            continue
        kind = values.type
        if pa.types.is_string(kind):
            columns[name] = np.array([*values.to_pylist(), None], object)[:-1]
        else:
            columns[AXES.get(name, name).replace("/", "|")] = values.to_numpy(zero_copy_only=False)
    folds, clusters, of = (table[name].to_pylist() for name in NUMBERED)
    columns["fold"] = _objects(None if fold is None else str(fold) for fold in folds)
    named = zip(clusters, of, strict=True)
    columns["cluster"] = _objects(None if c is None else f"f{fold}c{c}" for c, fold in named)
    return columns


def plane(table: pa.Table, drawn: Iterable[Mapping[str, str]]) -> np.ndarray:
    """Where tiles lie on a plane (N, 2) float32, from rows of embedding.tsv; NaN where on none."""
    places = {(row["slide"], int(row["tile"])): (row["x"], row["y"]) for row in drawn}
    pairs = zip(table["slide"].to_pylist(), table["tile_id"].to_pylist(), strict=True)
    found = [places.get(pair, (np.nan, np.nan)) for pair in pairs]
    return np.array(found, np.float32).reshape(-1, 2)


def unstructured(table: pa.Table, slides: Sequence[str], made_by: Mapping) -> dict:
    """What is told of the whole: a library per slide, as squidpy looks for, and the encoder."""
    first = dict(zip(*(table[name].to_pylist() for name in ("slide", "side_px0")), strict=True))
    scaled = {
        slide: {"scalefactors": {"spot_diameter_fullres": float(first[slide])}, "images": {}}
        for slide in slides
        if slide in first
    }
    about = {str(key): value for key, value in made_by.items()}
    return {"spatial": scaled, "features": about}


def _objects(values: Iterable[str | None]) -> np.ndarray:
    return np.array([*values, None], object)[:-1]
