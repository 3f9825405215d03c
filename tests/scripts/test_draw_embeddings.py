"""Tiles on a plane and their neighbours, from the units of a study to two pictures and a table."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.scripts import outcome
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import create_group, open_group, write_rows
from workflow.scripts.draw_embeddings import draw_embeddings

SETTINGS = {"map": "tsne", "perplexity": 5.0, "max_tiles": 100, "queries": 2, "neighbours": 3}


def draw(study, *, sites=None, **changes):
    settings = SETTINGS | {"seed": 0} | changes
    made_of = outcome.shard("draw_embeddings")
    slides = [Slide(**(vars(s) | {"site": (sites or {}).get(s.slide)})) for s in made_of.slides]
    index = study / "embedding_maps" / "kmeans" / "fold0.json"
    draw_embeddings(
        [study / "tiles" / "all.json"],
        [study / "features" / "all.json"],
        [study / "assignments" / "kmeans" / "fold0" / "all.json"],
        study / "splits.tsv",
        index,
        shard=Shard("all", slides, made_of.recipe | {"settings": settings, "sites": sites}),
        fold=0,
        **settings,
    )
    return index.with_suffix("")


def picture(folder, name):
    return np.asarray(Image.open(folder / name))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Normal tiles are in cluster 0 and tumour tiles in cluster 1."""
    study = tmp_path_factory.mktemp("embeddings")
    outcome.build(study)

    def assign(slide, folder):
        ids = np.full(outcome.count(slide.slide), slide.label == "tumour", np.int32)
        group = create_group(folder / "assignments.zarr", {"fold": 0})
        write_rows(group, "assignments", ids)
        write_rows(group, "bad", np.arange(len(ids)) == 5)
        return {"tiles": len(ids), "k": 2}

    index = study / "assignments" / "kmeans" / "fold0" / "all.json"
    visit(index, outcome.shard("assign_clusters"), assign, upstream=[study / "features"])
    return study


@pytest.fixture
def study(built, tmp_path):
    shutil.copytree(built, tmp_path / "study")
    return tmp_path / "study"


def test_every_readable_tile_has_a_place(study):
    folder = draw(study)
    rows = read_table(folder / "embedding.tsv")
    assert list(rows[0]) == ["slide", "tile", "x", "y", "cluster", "label"]
    assert len(rows) == 30 == manifest(folder)["facts"]["n_tiles"]
    for row in rows:
        label = outcome.SLIDES[row["slide"]][1]
        assert (row["label"], row["cluster"]) == (label, str(int(label == "tumour")))
        assert row["tile"] in "01234"
    places = np.array([[row["x"], row["y"]] for row in rows], float)
    tumour = np.array([row["label"] == "tumour" for row in rows])
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(30)
    assert (tumour[distance.argmin(axis=1)] == tumour).all()


def test_the_same_seed_gives_the_same_bytes_and_no_more_tiles_than_asked(study):
    files = manifest(draw(study, max_tiles=12))["files"]
    assert len(read_table(study / "embedding_maps/kmeans/fold0/embedding.tsv")) == 12
    shutil.rmtree(study / "embedding_maps")
    assert manifest(draw(study, max_tiles=12))["files"] == files


def test_sites_get_a_panel_where_there_are_several(study):
    plain = picture(draw(study), "embedding.png")
    sites = {name: "north" if name < "c" else "south" for name in outcome.SLIDES}
    wider = picture(draw(study, sites=sites), "embedding.png")
    assert (wider == 255).all(axis=(0, 2)).sum() != (plain == 255).all(axis=(0, 2)).sum()
    assert (
        picture(draw(study, sites=dict.fromkeys(sites, "x")), "embedding.png").shape == plain.shape
    )
    four, three = (page.shape[0] for page in (wider, plain))
    assert four < three  # panels share the width of the page


def test_each_query_has_neighbours_by_features_and_by_pixels(study):
    folder = draw(study)
    assert manifest(folder)["facts"]["queries"] == 2
    page = picture(folder, "neighbours.png")
    more = picture(draw(study, neighbours=4), "neighbours.png")
    assert more.shape[1] - page.shape[1] == 2 * 100  # a tile more in both groups
    fewer = picture(draw(study, queries=1), "neighbours.png")
    assert fewer.shape[0] < page.shape[0]


@pytest.mark.parametrize("tiles", [0, 1, 4])
def test_few_tiles_or_none_are_drawn_and_said(study, tiles):
    if tiles:
        folder = draw(study, max_tiles=tiles)
    else:
        text = (study / "splits.tsv").read_text().splitlines()
        kept = [text[0], *(row for row in text[1:] if row.split("\t")[1] in ("empty", "lost"))]
        (study / "splits.tsv").write_text("\n".join(kept) + "\n")
        folder = draw(study)
    assert len(read_table(folder / "embedding.tsv")) == tiles
    for name in ("embedding.png", "neighbours.png"):
        assert picture(folder, name).min() < 100  # there are words on it


def test_tiles_that_are_all_the_same_do_not_crash(study):
    for slide in set(outcome.SLIDES) - {"lost", "empty"}:
        path = study / "features" / slide / "features.zarr"
        bad = open_group(path)["bad"][:]
        shutil.rmtree(path)
        group = create_group(path, {"encoder": "made up", "mpp": 1.0})
        write_rows(group, "features", np.ones((6, 4), np.float32))
        write_rows(group, "bad", bad)
    rows = read_table(draw(study) / "embedding.tsv")
    assert {(row["x"], row["y"]) for row in rows} == {("0", "0")}
