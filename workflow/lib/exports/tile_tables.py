"""What is known of every tile, as a table: one row a tile, in the order of the tile store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow.lib.jobs.tables import write_table


@dataclass(frozen=True)
class Placement:
    """A slide's row of the sheet, and its side in every fold (`splits`: fold -> train, val, test).

    fold: the one that tests it; None where none does.
    """

    slide: str
    patient: str
    label: str | None
    site: str | None
    fold: int | None
    splits: Mapping[int, str]


@dataclass(frozen=True)
class Found:
    """What models say of N tiles; None where none may or can say anything.

    clusters (N,) int of the clustering of `cluster_fold`; probability (N, C) of the classes, and
    `means` {method: (N,) mean of its map in a tile}, both of the fold that tests the slide.
    """

    clusters: np.ndarray | None
    cluster_fold: int | None
    probability: np.ndarray | None
    means: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Tiling:
    """The tiles of a slide: `origins` (N, 2) (y, x) and `side_px0` in level-0 px, `mpp` of a pixel.

    tissue, blur (N,) float; bad (N,) bool.
    """

    origins: np.ndarray
    side_px0: float
    mpp: float
    tissue: np.ndarray
    blur: np.ndarray
    bad: np.ndarray


def make_table(
    placed: Placement,
    tiles: Tiling,
    found: Found,
    *,
    classes: Sequence[str],
    methods: Sequence[str],
) -> pa.Table:
    """One row per tile; every slide of a study has the same columns, and a slide may have no row.

    What models said of a tile that could not be read is left empty: they saw white.
    """
    count, known = len(tiles.origins), ~tiles.bad
    columns = {
        "slide": _text(placed.slide, count),
        "patient": _text(placed.patient, count),
        "label": _text(placed.label, count),
        "site": _text(placed.site, count),
        "tile_id": pa.array(np.arange(count), pa.int64()),
        "y_px0": pa.array(tiles.origins[:, 0], pa.int64()),
        "x_px0": pa.array(tiles.origins[:, 1], pa.int64()),
        "side_px0": pa.array(np.full(count, tiles.side_px0), pa.float64()),
        "mpp": pa.array(np.full(count, tiles.mpp), pa.float64()),
        "tissue": pa.array(tiles.tissue, pa.float32()),
        "blur": pa.array(tiles.blur, pa.float32()),
        "bad": pa.array(tiles.bad, pa.bool_()),
        "fold": _number(None if placed.fold is None else np.full(count, placed.fold), count),
    }
    for fold, split in sorted(placed.splits.items()):
        columns[f"split_fold{fold}"] = _text(split, count)
    columns["cluster"] = _number(found.clusters, count, known)
    of = None if found.clusters is None else np.full(count, found.cluster_fold)
    columns["cluster_fold"] = _number(of, count, known)
    for index, name in enumerate(classes):
        values = None if found.probability is None else found.probability[:, index]
        columns[f"probability_{name}"] = _share(values, count, known)
    for method in methods:
        columns[f"mean_{method}"] = _share(found.means.get(method), count, known)
    return pa.table(columns)


def write_parquet(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of the same columns one after the other; one at least, each may be empty.

    Raises ValueError where columns differ.
    """
    tables = iter(tables)
    first = next(tables)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def write_tsv(path: Path, columns: Sequence[str], tables: Iterable[pa.Table]) -> None:
    """The same as tab-separated text that no spreadsheet runs; what is not known is empty."""
    write_table(path, columns, _rows(tables))


def _rows(tables: Iterable[pa.Table]) -> Iterator[dict]:
    for table in tables:
        for batch in table.to_batches(max_chunksize=1 << 14):
            yield from batch.to_pylist()


def _text(value: str | None, count: int) -> pa.Array:
    return pa.array([value] * count, pa.string())


def _number(values: np.ndarray | None, count: int, known: np.ndarray | None = None) -> pa.Array:
    return _array(values, count, known, pa.int32())


def _share(values: np.ndarray | None, count: int, known: np.ndarray) -> pa.Array:
    return _array(values, count, known, pa.float32())


def _array(
    values: np.ndarray | None, count: int, known: np.ndarray | None, kind: pa.DataType
) -> pa.Array:
    if values is None:
        return pa.nulls(count, kind)
    return pa.array(values, mask=None if known is None else ~known).cast(kind)
