"""Write the tiles of all slides as one table, and with their features as AnnData."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow.lib.exports.cohort_columns import observations, plane, tile_names, unstructured
from workflow.lib.exports.h5ad import write_h5ad
from workflow.lib.exports.tile_tables import write_parquet, write_tsv
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import usable
from workflow.lib.tiles.rows import one_encoder
from workflow.lib.tiles.stores import open_group

log = logging.getLogger(__name__)

BLOCK = 1 << 14  # features read at once


def export_cohort(
    tile_tables: list[Path],
    features: list[Path],
    embedding_maps: Path,
    cohort: Path,
    parquet: Path,
    sheet: Path,
    *,
    shard: Shard,
    map: str,  # noqa: A002 (what the setting is called)
) -> None:
    """Write cohort.h5ad, tiles.parquet and tiles.tsv; slides that are put aside are not in them.

    The plane (`map`: tsne or umap) is that of the first fold, of the tiles that it shows.
    """
    told, made = tile_tables[0].parent, features[0].parent
    slides = usable(told, (slide.slide for slide in shard.slides))
    if not slides:
        raise ValueError("no slide of the study can be used; its verdicts say why")

    def tables() -> Iterator[pa.Table]:
        return (pq.read_table(told / slide / "tiles.parquet") for slide in slides)

    write_parquet(parquet, tables())
    table = pq.read_table(parquet)
    write_tsv(sheet, table.column_names, [table])
    stores = {slide: open_group(made / slide / "features.zarr") for slide in slides}
    made_by = one_encoder({slide: dict(store.attrs) for slide, store in stores.items()})

    def blocks() -> Iterator[np.ndarray]:
        for store in stores.values():
            rows = store["features"]
            for start in range(0, rows.shape[0], BLOCK):
                yield rows[start : start + BLOCK]

    dimension = next(iter(stores.values()))["features"].shape[1]
    origins = np.stack([table["x_px0"].to_numpy(), table["y_px0"].to_numpy()], axis=1)
    sides = table["side_px0"].to_numpy()
    drawn = read_table(embedding_maps.with_suffix("") / "embedding.tsv")
    write_h5ad(
        cohort,
        blocks(),
        (len(table), dimension),
        names=tile_names(table),
        obs=observations(table),
        obsm={"spatial": origins + sides[:, None] / 2, f"X_{map}": plane(table, drawn)},
        uns=unstructured(table, slides, made_by),
    )
    log.info("%d tiles of %d slides, %d features each.", len(table), len(slides), dimension)


if __name__ == "__main__":
    run(export_cohort, globals().get("snakemake"))
