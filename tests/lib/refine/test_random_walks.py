"""The random walk: against a dense matrix, and in rooms with and without walls."""

import numpy as np
import pytest
import torch

from tests.lib.refine.test_affinities import line, pairs
from workflow.lib.evidence.cams import upsample
from workflow.lib.refine.random_walks import random_walk, spread

PUBLISHED = {"radius": 5, "beta": 10, "steps": 256}


def transitions(boundary, radius, beta):
    """T (N, N): a^beta, 1 on the diagonal, every column divided by its sum."""
    height, width = boundary.shape
    weights = np.eye(height * width)
    for i, j in pairs(height, width, radius):
        a = 1 - max(boundary[pixel] for pixel in line(i, j))
        ends = i[0] * width + i[1], j[0] * width + j[1]
        weights[ends] = weights[ends[::-1]] = a**beta
    return weights / weights.sum(axis=0)


def room(height=6, width=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((height, width)), rng.random((height, width))


@pytest.mark.parametrize(
    "walk", [PUBLISHED, PUBLISHED | {"radius": 3, "beta": 2, "steps": 4}, PUBLISHED | {"radius": 9}]
)
def test_it_is_the_power_of_the_dense_matrix(walk):
    evidence, boundary = room()
    dense = transitions(boundary, walk["radius"], walk["beta"])
    expected = evidence.ravel() @ np.linalg.matrix_power(dense, walk["steps"])
    found = random_walk(torch.tensor(evidence)[None, None], torch.tensor(boundary)[None], **walk)
    assert found.shape == (1, 1, 6, 7)
    assert found.numpy().ravel() == pytest.approx(expected, rel=1e-9)


def test_columns_of_the_transition_add_up_to_one():
    """Walks that start in one pixel each are the rows of T."""
    boundary = torch.tensor(room()[1])[None]
    rows = torch.eye(42, dtype=torch.float64).view(1, 42, 6, 7)
    transition = random_walk(rows, boundary, radius=4, beta=3, steps=1).view(42, 42)
    assert transition.sum(dim=0).numpy() == pytest.approx(1)
    assert transition.sum(dim=1).std() > 0.01  # and rows do not: it is not symmetric
    assert transition.numpy() == pytest.approx(transitions(boundary[0].numpy(), 4, 3))


def test_without_boundaries_a_step_is_the_mean_within_the_radius():
    evidence = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    found = random_walk(evidence, torch.zeros(1, 9, 9), radius=2, beta=10, steps=1)
    assert found[0, 0, 4, 4].item() == pytest.approx(evidence[0, 0, 3:6, 3:6].mean().item())
    assert found[0, 0, 0, 0].item() == pytest.approx(evidence[0, 0, :2, :2].mean().item())
    far = random_walk(evidence, torch.zeros(1, 9, 9), **PUBLISHED)
    assert far.std() < 1e-4 < far.mean()


def test_nothing_leaks_through_a_wall():
    boundary = torch.zeros(1, 8, 9)
    boundary[..., 4] = 1.0
    evidence = torch.zeros(1, 1, 8, 9)
    evidence[..., :4] = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    found = random_walk(evidence, boundary, **PUBLISHED)
    assert not found[..., 4:].any()
    assert found[..., :4].std() < 1e-4 < found[..., :4].min()


def test_tiles_and_maps_of_a_batch_are_walked_on_their_own():
    generator = torch.Generator().manual_seed(0)
    evidence, boundary = (torch.rand(*n, 5, 5, generator=generator) for n in ((3, 2), (3,)))
    found = random_walk(evidence, boundary, **PUBLISHED)
    alone = random_walk(evidence[2:, 1:], boundary[2:], **PUBLISHED)
    assert torch.equal(found[2:, 1:], alone)
    assert random_walk(evidence[:0], boundary[:0], **PUBLISHED).shape == (0, 2, 5, 5)


def spread_evenly(evidence, boundary=0.0, displacement=None, instances=False, **changes):
    cells = (len(evidence), evidence.shape[-1] // 4, evidence.shape[-1] // 4)
    logits = torch.logit(torch.as_tensor(boundary).expand(cells))
    moved = torch.zeros(cells[0], 2, *cells[1:]) if displacement is None else displacement
    return spread(evidence, logits, moved, instances=instances, **(PUBLISHED | changes))


def test_a_tile_keeps_its_highest_evidence_so_that_a_cold_tile_stays_cold():
    evidence = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0))
    evidence[1] *= 0.05
    found = spread_evenly(evidence, torch.rand(8, 8, generator=torch.Generator().manual_seed(1)))
    assert found.shape == evidence.shape
    assert found.amax(dim=(1, 2)) == pytest.approx(evidence.amax(dim=(1, 2)), rel=1e-5)
    walk = {"boundary": torch.full((8, 8), 0.5), "steps": 8}
    scaled = spread_evenly(evidence[:1] * 0.3, **walk)
    assert scaled == pytest.approx(0.3 * spread_evenly(evidence[:1], **walk), rel=1e-4)


def test_no_evidence_stays_none_and_no_tiles_stay_none():
    for instances in (False, True):
        assert not spread_evenly(torch.zeros(1, 16, 16), instances=instances).any()
        assert spread_evenly(torch.zeros(0, 16, 16), instances=instances).shape == (0, 16, 16)


def test_evidence_does_not_start_on_a_boundary():
    evidence = torch.ones(1, 32, 32)
    boundary = torch.zeros(8, 8)
    boundary[:, 3] = 1.0
    found = spread_evenly(evidence, boundary)
    assert found[0, :, 13].max() < 0.3  # the middle of column 3 of the map
    assert found[0, :, 20:].min() == pytest.approx(1, abs=1e-4)


def test_instances_are_walked_alone_and_the_highest_outcome_counts():
    rows, columns = torch.meshgrid(*2 * [torch.arange(16.0)], indexing="ij")
    centre = torch.where(columns < 8, 3.0, 12.0)
    displacement = torch.stack([8 - rows, centre - columns])[None]
    generator = torch.Generator().manual_seed(0)
    evidence = torch.rand(1, 64, 64, generator=generator)
    boundary = 0.4 * torch.rand(16, 16, generator=generator)
    walk = {"radius": 3, "beta": 10, "steps": 2}
    found = spread_evenly(evidence, boundary, displacement, instances=True, **walk)
    start = torch.nn.functional.avg_pool2d(evidence, 4) * (1 - boundary)
    apart = torch.stack([start[0] * (columns < 8), start[0] * (columns >= 8)])[None]
    expected = random_walk(apart, boundary[None], **walk)[0].amax(dim=0)
    expected = upsample(expected[None], 64)
    assert found == pytest.approx(expected * (evidence.max() / expected.max()), rel=1e-4)
    together = spread_evenly(evidence, boundary, displacement, **walk)
    assert (found - together).abs().max() > 0.05
