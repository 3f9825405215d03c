"""Which channels differ between tiles, and where in a tile they respond."""

import numpy as np
import pytest
import torch
from torch import nn

from workflow.lib.clusters.responses import Responses, measure_responses

CPU = torch.device("cpu")


class Colours(nn.Module):
    """A network whose last feature map (8 px cells) is the mean red, green and blue of a cell."""

    def layers(self, tiles):
        deep = nn.functional.avg_pool2d(tiles, 8)
        return {"shallow": tiles, "deep": deep, "embedding": deep.mean(dim=(2, 3))}


@pytest.fixture(scope="module")
def tiles():
    """Four dark tiles of 16 x 24 px; tile i has a red spot of strength 60 i, tile 3 a green one."""
    tiles = np.zeros((4, 16, 24, 3), np.uint8)
    for index in range(4):
        tiles[index, 8:, 8 * (index % 3) : 8 * (index % 3) + 8, 0] = 60 * index
    tiles[3, :8, 16:, 1] = 255
    return tiles


@pytest.fixture(scope="module")
def responses(tiles):
    read = lambda rows: tiles[np.asarray(rows)]  # noqa: E731
    return measure_responses(Colours(), read, 4, batch=3, device=CPU)


def test_the_last_feature_map_is_measured_and_not_the_embedding(responses):
    assert (responses.layer, responses.shape) == ("deep", (2, 3))
    assert responses.value.shape == responses.place.shape == (4, 3)


def test_the_strongest_response_of_a_tile_and_where_it_is(responses):
    np.testing.assert_allclose(255 * responses.value[:, 0], [0, 60, 120, 180], atol=1e-3)
    assert responses.place[1:, 0].tolist() == [4, 5, 3]
    assert responses.box(1, 0) == (0.5, 1 / 3, 1.0, 2 / 3)
    assert responses.box(3, 1) == (0.0, 2 / 3, 0.5, 1.0)


def test_channels_that_differ_most_come_first_and_those_that_do_not_are_left_out(responses):
    assert responses.liveliest(5) == [1, 0]  # green varies most, blue never
    assert responses.liveliest(1) == [1]


def test_without_tiles_or_without_differences_no_channel_is_lively():
    none = measure_responses(Colours(), lambda rows: None, 0, batch=3, device=CPU)
    assert none.liveliest(3) == []
    same = Responses("deep", (1, 1), np.full((3, 2), 0.1, np.float32), np.zeros((3, 2), np.int64))
    assert same.liveliest(2) == []
