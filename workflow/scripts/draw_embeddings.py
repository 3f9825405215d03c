"""Draw tiles on a plane, and the nearest neighbours of some."""

import logging
from pathlib import Path

from PIL import Image

from workflow.lib.clusters.neighbours import Found, find_neighbours
from workflow.lib.clusters.planes import place
from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.report.galleries import Cell, Strip, draw_gallery, draw_sentence
from workflow.lib.report.montage import cluster_colours, count
from workflow.lib.report.plane_charts import Panel, draw_planes, make_panels
from workflow.lib.tiles.samples import Sample, draw_sample

log = logging.getLogger(__name__)

NAMES = {"tsne": "t-SNE", "umap": "UMAP"}
COLUMNS = ("slide", "tile", "x", "y", "cluster", "label")
HEADINGS = ("tile", "nearest by features: 1 - cosine", "nearest by pixels: difference, of 255")


def draw_embeddings(
    tiles: list[Path],
    features: list[Path],
    assignments: list[Path],
    splits: Path,
    embedding_maps: Path,
    *,
    shard: Shard,
    fold: int,
    map: str,  # noqa: A002 (what the setting is called)
    perplexity: float,
    max_tiles: int,
    queries: int,
    neighbours: int,
    seed: int,
) -> None:
    """Draw up to `max_tiles` tiles of all slides on a plane, and the neighbours of `queries`.

    Slides of every split are shown: the page describes, it does not score.
    """
    stages = [index[0].parent for index in (tiles, features, assignments)]
    placed = in_fold(read_table(splits), fold)
    sites = {slide.slide: slide.site or "" for slide in shard.slides}

    def work(folder: Path) -> dict:
        sample = draw_sample(*stages, placed.keys() & sites.keys(), number=max_tiles, seed=seed)
        about = [placed[sample.slides[slide]] for slide in sample.slide]
        labels = [row["label"] for row in about]
        points, method = place(sample.features, method=map, perplexity=perplexity, seed=seed)
        names = [str(cluster) for cluster in range(sample.k)]
        said = {"label": labels, "patient": [row["patient"] for row in about]}
        panels = [
            Panel("by cluster", names, sample.cluster, cluster_colours(sample.k), numbered=True),
            *make_panels(said | {"site": [sites[row["slide"]] for row in about]}),
        ]
        part = f"{len(about):,} of " * (len(about) < sample.total)
        title = f"Fold {fold}: {part}{count(sample.total, 'tile')}"
        few = f"too few different tiles for {NAMES[map]}: principal components"
        how = NAMES.get(method, few)
        found = find_neighbours(sample, queries=queries, number=neighbours, seed=seed)
        note = f"Neighbours are of other slides, the nearest of {count(len(about), 'tile')}."
        pages = {
            "embedding.png": draw_planes(points, panels, title=f"{title}, {how}"),
            "neighbours.png": draw_gallery(
                [_strip(sample, labels, one) for one in found],
                title=f"Fold {fold}: tiles of the largest clusters, and their neighbours",
                headings=HEADINGS,
                note=note,
            ),
        }
        for name, page in pages.items():
            page = page if len(about) else draw_sentence("No tile could be read.", title=title)
            Image.fromarray(page).save(folder / name, optimize=True)
        cells = (sample.row, *points.T, sample.cluster)
        rows = zip(
            (row["slide"] for row in about), *(c.tolist() for c in cells), labels, strict=True
        )
        rows = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
        write_table(folder / "embedding.tsv", COLUMNS, rows)
        return {"n_tiles": len(about), "n_slides": len(sample.slides), "queries": len(found)}

    commit(embedding_maps, shard, work, upstream=[*stages, splits])


def _strip(sample: Sample, labels: list[str], found: Found) -> Strip:
    """A tile and its neighbours, each with its slide, its label and how far it is."""
    cluster = int(sample.cluster[found.query])
    words = ([f"{d:.2g}" for d in found.by_features[1]], [f"{d:.1f}" for d in found.by_pixels[1]])
    groups = [
        [
            Cell(tile, [w for w in (sample.slides[sample.slide[index]], labels[index], far) if w])
            for tile, index, far in zip(sample.pixels(indices), indices, distances, strict=True)
        ]
        for indices, distances in (
            ([found.query], [""]),
            (found.by_features[0], words[0]),
            (found.by_pixels[0], words[1]),
        )
    ]
    return Strip(str(cluster), cluster_colours(sample.k)[cluster], groups)


if __name__ == "__main__":
    run(draw_embeddings, globals().get("snakemake"))
