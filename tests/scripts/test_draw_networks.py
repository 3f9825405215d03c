"""Filters and responses of the network of a fold, from its unit to two pictures."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.scripts import tile_study
from workflow.lib.clusters.autoencoders import Autoencoder
from workflow.lib.jobs.units import manifest
from workflow.scripts.draw_networks import draw_networks

SLIDES = {
    "a": ("plain", "train", 6),
    "b": ("striped", "train", 5),
    "c": ("striped", "test", 4),
    "empty": ("plain", "test", 0),
    "lost": ("plain", "test", -1),
}


def draw(study, only=tuple(SLIDES), **changes):
    settings = {"channels": 3, "tiles_per_channel": 2, "max_tiles": 100, "seed": 0} | changes
    slides = [tile_study.Slide(name, None, f"p-{name}", SLIDES[name][0]) for name in only]
    index = study / "networks" / "dcec" / "fold0.json"
    draw_networks(
        [study / "tiles" / "all.json"],
        study / "splits.tsv",
        study / "clusters" / "dcec" / "fold0.json",
        index,
        shard=tile_study.shard("draw_networks", slides, **settings),
        fold=0,
        device="cpu",
        batch=4,
        threads=1,
        **settings,
    )
    return index.with_suffix("")


def picture(folder, name):
    return np.asarray(Image.open(folder / name))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    study = tmp_path_factory.mktemp("networks")
    tile_study.write_tiles(study, SLIDES)
    folder = study / "clusters" / "dcec" / "fold0"
    folder.mkdir(parents=True)
    Autoencoder(4, 16, tile_px=tile_study.TILE_PX, mpp=1.0).untrained(0).save(folder, {})
    unit = {"recipe": "r", "verdict": "ok", "sentence": None, "facts": {}}
    (folder / "manifest.json").write_text(json.dumps(unit))
    return study


@pytest.fixture
def study(built, tmp_path):
    shutil.copytree(built, tmp_path / "study")
    return tmp_path / "study"


def test_filters_and_responses_are_drawn(study):
    folder = draw(study)
    facts = manifest(folder)["facts"]
    # of 6 + 5 + 4 tiles three cannot be read, one a slide
    assert (facts["n_tiles"], facts["n_slides"], facts["filters"]) == (12, 4, 32)
    assert (facts["layer"], facts["channels"]) == ("conv3", 3)
    assert picture(folder, "filters.png").shape[1] > 8 * 45
    page, more = (picture(draw(study, channels=c), "activations.png") for c in (3, 4))
    assert more.shape[0] > page.shape[0]


def test_the_same_seed_gives_the_same_bytes(study):
    files = manifest(draw(study, max_tiles=5))["files"]
    assert manifest(draw(study, max_tiles=5))["facts"]["n_tiles"] == 5
    shutil.rmtree(study / "networks")
    assert manifest(draw(study, max_tiles=5))["files"] == files


def test_without_a_tile_the_filters_are_drawn_all_the_same(study):
    folder = draw(study, only=("empty", "lost"))
    facts = manifest(folder)["facts"]
    assert (facts["n_tiles"], facts["channels"], facts["filters"]) == (0, 0, 32)
    assert picture(folder, "activations.png").shape[0] < 150  # a sentence


def test_tiles_of_another_size_are_refused_by_name(study):
    folder = study / "clusters" / "dcec" / "fold0"
    Autoencoder(4, 16, tile_px=64, mpp=1.0).save(folder, {})
    with pytest.raises(ValueError, match=r"\(a\) takes tiles of 64 px, but these have 32 px"):
        draw(study)


def test_clusters_without_a_network_are_an_error(study):
    (study / "clusters" / "dcec" / "fold0" / "model.json").unlink()
    with pytest.raises(FileNotFoundError, match="holds no network"):
        draw(study)
