"""Elastic deformation: shifts by hand, the field between the nodes, truth beside its image."""

import pytest
import torch

from workflow.lib.tiles.elastic import NODES, deform, draw_displacement


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_no_displacement_changes_nothing(mode):
    maps = torch.rand(2, 3, 12, 12, generator=seeded())
    assert deform(maps, torch.zeros(2, 2, 12, 12), mode) == pytest.approx(maps, abs=1e-5)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_displacement_is_in_pixels_down_and_across(mode):
    maps = torch.rand(1, 1, 12, 12, generator=seeded())
    moved = torch.zeros(1, 2, 12, 12)
    moved[:, 0], moved[:, 1] = 2, -3
    found = deform(maps, moved, mode)
    assert found[0, 0, :10, 3:] == pytest.approx(maps[0, 0, 2:, :9], abs=1e-5)


def test_beyond_the_edge_it_is_mirrored():
    maps = torch.arange(6.0).expand(1, 1, 6, 6)
    moved = torch.zeros(1, 2, 6, 6)
    moved[:, 1] = 2
    assert deform(maps, moved, "nearest")[0, 0, 0].tolist() == [2, 3, 4, 5, 5, 4]


def test_nodes_are_normal_and_between_them_it_is_smooth():
    side = 33
    found = draw_displacement(400, side, 10.0, generator=seeded())
    assert found.shape == (400, 2, side, side)
    nodes = found[:, :, :: side // (NODES - 1), :: side // (NODES - 1)]
    assert nodes.shape[-1] == NODES
    assert nodes.std().item() == pytest.approx(10, rel=0.05)
    assert nodes.mean().item() == pytest.approx(0, abs=0.5)
    drawn = 10 * torch.randn(400, 2, NODES, NODES, generator=seeded())
    assert nodes == pytest.approx(drawn, abs=1e-4)
    assert found.diff(dim=-1).abs().max() < 0.25 * found.abs().max()


def test_another_generator_bends_otherwise_and_the_same_the_same():
    one, same, other = (draw_displacement(1, 8, 5.0, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_truth_is_bent_with_its_image_and_stays_truth():
    truth = torch.zeros(4, 1, 64, 64)
    truth[:, :, 16:48, 20:40] = 1
    bend = draw_displacement(4, 64, 6.0, generator=seeded())
    image, bent = deform(truth, bend, "bilinear"), deform(truth, bend, "nearest")
    assert set(bent.unique().tolist()) == {0, 1}
    assert ((image > 0.5) == (bent > 0.5)).float().mean() > 0.99
    assert (bent != truth).any()
