"""Instances: on displacements that are drawn by hand."""

import pytest
import torch

from workflow.lib.refine.instances import find_instances, refine_centroids


def grid(height, width):
    rows, columns = torch.arange(float(height)), torch.arange(float(width))
    return torch.meshgrid(rows, columns, indexing="ij")


def two_blobs(height=12, width=20):
    """Two objects that touch in the middle; every pixel points at the centre of its own."""
    rows, columns = grid(height, width)
    centre = torch.where(columns < width // 2, 4.0, 15.0)
    return torch.stack([6 - rows, centre - columns]), columns >= width // 2


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_pixels_walk_to_the_centre_also_in_small_steps(share):
    displacement, right = two_blobs()
    ends = refine_centroids(displacement * share)
    assert ends[0] == pytest.approx(torch.full((12, 20), 6.0), abs=0.01)
    assert ends[1][~right] == pytest.approx(torch.full((120,), 4.0), abs=0.01)
    assert ends[1][right] == pytest.approx(torch.full((120,), 15.0), abs=0.01)


def test_one_step_is_the_bilinear_displacement_and_nothing_leaves_the_map():
    rows, columns = grid(3, 4)
    displacement = torch.stack([torch.full((3, 4), 0.5), columns])
    once = refine_centroids(displacement, 1)
    assert torch.equal(once[0], (rows + 0.5).clamp(max=2))
    assert torch.equal(once[1], (2 * columns).clamp(max=3))
    # the second step starts from (0.5, 2): between rows, where D is (0.5, 2)
    twice = refine_centroids(displacement / torch.tensor([1.0, 4.0])[:, None, None], 2)
    assert twice[:, 0, 1].tolist() == pytest.approx([1.0, 1 + 0.25 + 1.25 / 4])


def test_touching_objects_are_two():
    displacement, right = two_blobs()
    assert torch.equal(find_instances(displacement), right.long())


def test_what_leads_nowhere_is_one_instance():
    displacement = torch.zeros(2, 5, 6)
    displacement[1] = 3.0
    assert torch.equal(find_instances(displacement), torch.zeros(5, 6, dtype=torch.int64))


def test_still_pixels_are_one_instance_and_a_map_of_one_pixel_too():
    assert not find_instances(torch.zeros(2, 4, 4)).any()
    assert find_instances(torch.zeros(2, 1, 1)).tolist() == [[0]]


def test_displacements_at_the_threshold_are_no_centre():
    """A column with |D| = 2.5 leads left to where |D| is 0; its own pixels are no centre."""
    displacement = torch.zeros(2, 1, 6)
    displacement[1, 0, 3:] = -2.5
    assert find_instances(displacement).tolist() == [[0, 0, 0, 0, 0, 0]]
