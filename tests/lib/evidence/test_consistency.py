"""Evidence that images share: pooled by hand, mixed in as said, and put where it was missed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib import located
from workflow.lib.clusters.clustering import fit
from workflow.lib.clusters.clusters import Clusters
from workflow.lib.evidence.cams import upsample
from workflow.lib.evidence.consistency import (
    Evidence,
    Pool,
    choose_level,
    locations,
    sample,
)

GENERATOR = torch.Generator().manual_seed(0)


def clusters(*centroids):
    """Clusters whose distances are those between the features themselves."""
    centroids = np.array(centroids, np.float32)
    d = centroids.shape[1]
    zero, one = np.zeros(d, np.float32), np.ones(d, np.float32)
    return Clusters(zero, np.eye(d, dtype=np.float32), one, centroids, unit=False)


def tensor(values, *shape):
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


@pytest.fixture(scope="module")
def model():
    return located.make_classifier()


@pytest.fixture(scope="module")
def shared(model):
    return located.share_evidence(model)


def pooled(order=(0, 1, 2), third=False):
    """Slide A: one tile, B: two. A location has the feature 0 or 9, two locations a tile."""
    ids = [(0, 1), (0, 0), (0, 1)]
    cams = [(1.0, 3.0), (5.0, 7.0), (9.0, 11.0)]
    weights = np.array([1 / 2, 1 / 4, 1 / 4])
    pool = Pool(clusters([0.0], [9.0], *([[99.0]] if third else [])), 2)
    for tile in order:
        own = tensor([cams[tile], [-value for value in cams[tile]]], 1, 2, 1, 2)
        maps = tensor([9.0 * found for found in ids[tile]], 1, 1, 1, 2)
        pool.add(own, maps, weights[[tile]])
    return pool.evidence()


def test_the_pool_by_hand():
    """A location weighs 1/4 in A and 1/8 in B: a slide of one tile counts like one of two."""
    first = (1 / 4 * 1 + 1 / 8 * (5 + 7 + 9)) / (1 / 4 + 3 / 8)
    second = (1 / 4 * 3 + 1 / 8 * 11) / (1 / 4 + 1 / 8)
    expected = np.array([[first, -first], [second, -second]])
    assert pooled() == pytest.approx(expected)
    assert pooled(order=(2, 0, 1)) == pytest.approx(expected)


def test_a_cluster_without_a_location_has_the_evidence_of_all():
    """Over all: half of A's mean of 2, a quarter each of 6 and 10."""
    assert pooled(third=True)[2] == pytest.approx([5.0, -5.0])


def test_an_empty_pool_has_no_evidence():
    assert Pool(clusters([0.0], [9.0]), 3).evidence().tolist() == [[0.0] * 3] * 2


def test_coarse_cams_are_pooled_at_the_finer_locations():
    """Two cells 0 and 4 over four locations are 0, 1, 3 and 4 between their middles."""
    pool = Pool(clusters([0.0], [9.0]), 1)
    pool.add(tensor([0, 4], 1, 1, 1, 2), tensor([0, 0, 9, 9], 1, 1, 1, 4), np.ones(1))
    assert pool.evidence().ravel() == pytest.approx([0.5, 3.5])


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_pooling_keeps_the_mean_and_stays_within_the_cams(tiles, k, seed):
    rng = np.random.default_rng(seed)
    cams = torch.from_numpy(rng.normal(size=(tiles, 2, 3, 3)))
    maps = torch.from_numpy(rng.normal(size=(tiles, 2, 3, 3)))
    weights = rng.uniform(0.1, 1, tiles)
    pool = Pool(clusters(*rng.normal(size=(k, 2))), 2)
    pool.add(cams, maps, weights)
    found = pool.evidence()
    overall = np.einsum("b,bcij->c", weights, cams.numpy()) / 9 / weights.sum()
    assert pool.weight @ found / pool.weight.sum() == pytest.approx(overall, abs=1e-6)
    assert (found <= cams.amax(dim=(0, 2, 3)).numpy() + 1e-6).all()
    assert (found >= cams.amin(dim=(0, 2, 3)).numpy() - 1e-6).all()


def test_locations_are_read_row_by_row_tile_by_tile():
    maps = torch.arange(2 * 3 * 2 * 2, dtype=torch.float64).reshape(2, 3, 2, 2)
    rows = locations(maps)
    assert rows.dtype == np.float32 and rows.shape == (8, 3)
    assert rows[1].tolist() == maps[0, :, 0, 1].tolist()
    assert rows[2].tolist() == maps[0, :, 1, 0].tolist()
    assert rows[4].tolist() == maps[1, :, 0, 0].tolist()


def test_a_sample_has_as_many_locations_of_every_tile_and_none_twice():
    maps = torch.arange(5 * 12.0).reshape(5, 1, 3, 4)
    drawn = sample(maps.split(2), 7, seed=0)
    assert drawn.shape == (35, 1) and len(np.unique(drawn)) == 35
    assert np.bincount((drawn[:, 0] // 12).astype(int)).tolist() == [7] * 5
    assert np.array_equal(sample(maps.split(3), 7, seed=0), drawn)  # however it is cut
    assert not np.array_equal(sample(maps.split(2), 7, seed=1), drawn)
    assert np.sort(sample([maps], 99, seed=0)[:, 0]).tolist() == list(range(60))


def test_without_weight_a_cam_is_only_upsampled(shared):
    cams = torch.rand(2, 2, 3, 3, generator=GENERATOR)
    maps = torch.rand(2, 256, 8, 8, generator=GENERATOR)
    found = shared.correct(cams, maps, 0)
    for index in range(2):
        assert torch.allclose(found[:, index], upsample(cams[:, index], 8), atol=1e-6)


def test_at_full_weight_a_location_has_the_evidence_of_its_cluster():
    shared = Evidence(clusters([0.0], [9.0]), np.array([[1, -1], [5, -5]]), 8)
    maps = tensor([0, 9, 8, 1], 1, 1, 2, 2)
    expected = [[[1, 5], [5, 1]], [[-1, -5], [-5, -1]]]
    assert shared.of(maps)[0].tolist() == expected
    assert shared.correct(torch.rand(1, 2, 1, 1), maps, 1)[0].tolist() == expected
    half = shared.correct(torch.full((1, 2, 1, 1), 3.0), maps, 0.5)
    assert half[0].tolist() == [[[2, 4], [4, 2]], [[1, -1], [-1, 1]]]


def test_what_other_images_show_is_found_where_it_was_missed():
    """An object in four images, seen in three; a false alarm on the ground of one."""
    rng = np.random.default_rng(0)
    where = torch.zeros(4, 6, 6, dtype=torch.bool)
    for index in range(4):
        where[index, index : index + 2, 1:4] = True
    feature = torch.where(where[:, None], tensor([4, 0], 1, 2, 1, 1), tensor([0, 4], 1, 2, 1, 1))
    maps = feature + torch.from_numpy(rng.normal(0, 0.1, feature.shape)).float()
    cams = torch.where(where, 5.0, 0.0)[:, None].clone()
    cams[3] = 0  # the object of the fourth image is missed
    cams[0, 0, 5, 5] = 5  # ground of the first is taken for an object
    found, _ = fit(locations(maps), clusters=2, pca=1, iterations=10, restarts=1, seed=0)
    pool = Pool(found, 1)
    pool.add(cams, maps, np.full(4, 1 / 4))
    shared = Evidence(found, pool.evidence(), 8)
    assert np.sort(shared.evidence.ravel()) == pytest.approx([5 / 120, 15 / 4], rel=1e-3)
    before, after = cams[:, 0] > 1, shared.correct(cams, maps, 0.8)[:, 0] > 1
    assert not before[3].any() and before[0, 5, 5] and not where[0, 5, 5]
    assert torch.equal(after, where | (before & ~where))  # 0.2 of 5 is 1.03 with the ground's
    assert torch.equal(shared.correct(cams, maps, 0.9)[:, 0] > 1, where)


def test_what_is_saved_comes_back(tmp_path, shared):
    for number, one in enumerate((shared, Evidence(clusters([0.0, 1]), np.ones((1, 3)), 16))):
        folder = tmp_path / str(number)
        folder.mkdir()
        one.save(folder)
        other = Evidence.load(folder)
        assert other.stride == one.stride and isinstance(other.stride, int)
        assert np.array_equal(other.evidence, one.evidence)
        assert bool(other.clusters.unit) == one.clusters.unit
        for name in ("mean", "components", "scale", "centroids"):
            assert np.array_equal(getattr(other.clusters, name), getattr(one.clusters, name))
        maps = torch.rand(2, len(one.clusters.mean), 4, 4, generator=GENERATOR)
        assert torch.equal(other.of(maps), one.of(maps))


def test_the_level_is_the_deepest_that_is_fine_enough(model):
    chosen = [choose_level(model, stride) for stride in (2, 3, 4, 8, 15, 16, 64)]
    assert chosen == [0, 0, 1, 2, 2, 3, 3]
    with pytest.raises(ValueError, match="stride is 1, .* squeezenet1_1 has a stride of 2; use"):
        choose_level(model, 1)


def test_locations_that_are_not_finite_have_no_evidence_and_spoil_no_others(shared):
    maps = torch.rand(3, 256, 4, 4, generator=GENERATOR)
    clean = shared.of(maps)
    maps[1, 7, 2, 3] = torch.nan
    maps[1, 9, 0, 0] = torch.inf
    found = shared.of(maps)
    lost = torch.zeros(3, 2, 4, 4, dtype=torch.bool)
    lost[1, :, 2, 3] = lost[1, :, 0, 0] = True
    assert torch.equal(torch.isnan(found), lost)
    assert torch.equal(found[~lost], clean[~lost])
