"""Tiles drawn from the stores of a study, with the right features, clusters and places."""

import numpy as np
import pytest

from tests.scripts import outcome
from workflow.lib.jobs.shard import visit
from workflow.lib.tiles import samples
from workflow.lib.tiles.samples import draw_sample
from workflow.lib.tiles.stores import create_group, open_group, write_rows


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Tile i of each slide is in cluster i mod 3; the last tile cannot be read."""
    study = tmp_path_factory.mktemp("samples")
    outcome.build(study)

    def assign(slide, folder):
        count = outcome.count(slide.slide)
        group = create_group(folder / "assignments.zarr")
        write_rows(group, "assignments", (np.arange(count) % 3).astype(np.int32))
        return {"tiles": count, "k": 3}

    index = study / "assignments" / "all.json"
    visit(index, outcome.shard("assign_clusters"), assign, upstream=[study / "features"])
    return study


def draw(study, slides=tuple(outcome.SLIDES), number=1000, seed=0):
    stages = [study / stage for stage in ("tiles", "features", "assignments")]
    return draw_sample(*stages, set(slides), number=number, seed=seed)


def test_every_readable_tile_of_usable_slides_is_there(study):
    sample = draw(study)
    assert sample.slides == ["a1", "a2", "b", "c", "d", "e", "empty"]  # lost is quarantined
    assert len(sample) == sample.total == 30
    assert (sample.k, sample.tile_px) == (3, outcome.TILE)
    assert sample.row.tolist() == [0, 1, 2, 3, 4] * 6
    assert sample.cluster.tolist() == [0, 1, 2, 0, 1] * 6
    np.testing.assert_array_equal(sample.corners[:5], outcome.CORNERS[:5])


def test_what_is_drawn_belongs_together(study, monkeypatch):
    monkeypatch.setattr(samples, "BLOCK", 2)  # features are read in several blocks
    sample = draw(study, number=7, seed=3)
    assert len(sample) == 7 and sample.total == 30
    for index in range(7):
        slide, row = sample.slides[sample.slide[index]], sample.row[index]
        stored = open_group(study / "features" / slide / "features.zarr")["features"][int(row)]
        np.testing.assert_array_equal(sample.features[index], stored)
        pixels = open_group(study / "tiles" / slide / "tiles.zarr")["pixels"][int(row)]
        np.testing.assert_array_equal(sample.pixels([index])[0], pixels)


def test_a_seed_draws_the_same_tiles_again_and_another_others(study):
    first, again, other = (draw(study, number=10, seed=seed) for seed in (1, 1, 2))
    drawn = [list(zip(s.slide, s.row, strict=True)) for s in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("slides", [(), ("empty",), ("lost",)])
def test_no_tile_at_all_is_an_empty_sample(study, slides):
    sample = draw(study, slides=slides)
    assert len(sample) == sample.total == len(sample.features) == len(sample.corners) == 0
    assert sample.pixels([]) == []
