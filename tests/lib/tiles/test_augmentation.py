"""Augmentation: exact turns, torchvision's colours, and the same numbers for the same seed."""

import pytest
import torch
from torchvision.transforms.v2 import functional

from workflow.lib.tiles import augmentation
from workflow.lib.tiles.augmentation import augment, cut, cut_and_enlarge, jitter_colour, orient


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tiles(count=64, side=8, seed=1):
    return torch.rand(count, 3, side, side, generator=generator(seed))


def symmetries(tile):
    turned = [tile.rot90(quarter, (-2, -1)) for quarter in range(4)]
    return turned + [turn.flip(-1) for turn in turned]


def test_every_tile_becomes_one_of_its_eight_symmetries_and_all_eight_occur():
    before = tiles(200)
    after = orient(before, flips=True, rotations=True, generator=generator())
    matches = torch.tensor(
        [
            [torch.equal(new, same) for same in symmetries(old)]
            for old, new in zip(before, after, strict=True)
        ]
    )
    assert (matches.sum(dim=1) == 1).all() and (matches.sum(dim=0) > 10).all()


@pytest.mark.parametrize(
    ("flips", "rotations", "count"), [(True, False, 4), (False, True, 4), (False, False, 1)]
)
def test_flips_and_rotations_are_each_a_choice(flips, rotations, count):
    one = tiles(1).repeat(100, 1, 1, 1)
    after = orient(one, flips=flips, rotations=rotations, generator=generator())
    assert len({tuple(tile.flatten().tolist()) for tile in after}) == count


def test_the_input_is_left_alone():
    before = tiles()
    copy = before.clone()
    augment(before, flips=True, rotations=True, crop=1, colour_jitter=0.5, generator=generator())
    assert torch.equal(before, copy)


def draw(monkeypatch, values):
    monkeypatch.setattr(
        augmentation.torch, "rand", lambda *_a, **_k: (torch.tensor([values]) + 1) / 2
    )


@pytest.mark.parametrize(
    ("which", "reference"),
    [
        (0, functional.adjust_brightness),
        (1, functional.adjust_contrast),
        (2, functional.adjust_saturation),
    ],
)
@pytest.mark.parametrize("value", [-1.0, -0.3, 0.0, 0.4, 1.0])
def test_each_change_is_torchvisions(monkeypatch, which, reference, value):
    tile = 0.3 + 0.3 * tiles(1)  # away from 0 and 1, so that nothing is clipped on the way
    draw(monkeypatch, [value if index == which else 0.0 for index in range(4)])
    found = jitter_colour(tile, 0.4, generator=generator())
    # torchvision weighs R, G, B as 0.2989, 0.587, 0.114.
    assert torch.allclose(found, reference(tile, 1 + 0.4 * value), atol=1e-3)


def test_hue_turns_about_grey(monkeypatch):
    """A third of the circle (strength 10/3) makes red green, green blue, and leaves grey grey."""
    draw(monkeypatch, [0.0, 0.0, 0.0, 1.0])
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.5, 0.5, 0.5]])
    found = torch.stack(
        [
            jitter_colour(c.view(1, 3, 1, 1), 10 / 3, generator=generator()).flatten()
            for c in colours
        ]
    )
    expected = torch.tensor([[0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.5, 0.5, 0.5]])
    assert torch.allclose(found, expected, atol=1e-5)


def test_colours_stay_colours_and_differ_between_tiles():
    one = tiles(1).repeat(20, 1, 1, 1)
    after = jitter_colour(one, 1.0, generator=generator())
    assert after.min() >= 0 and after.max() <= 1
    assert len({round(float(tile.mean()), 6) for tile in after}) == 20


def test_no_jitter_is_no_change():
    plain = {"flips": False, "rotations": False, "crop": 1, "generator": generator()}
    assert torch.equal(augment(tiles(), colour_jitter=0.0, **plain), tiles())


def test_the_same_seed_gives_the_same_tiles():
    settings = {"flips": True, "rotations": True, "crop": 1, "colour_jitter": 0.3}
    first, again, other = (
        augment(tiles(), **settings, generator=generator(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("whole", "crop", "side"),
    [
        (128, 0.75, 96),
        (224, 0.86, 192),
        (128, 0.1, 32),
        (96, 0.99, 96),
        (48, 0.5, 32),
        (24, 0.5, 24),
    ],
)
def test_a_cut_has_the_share_of_the_side_in_steps_that_networks_take(whole, crop, side):
    found = cut(torch.rand(2, 3, whole, whole), crop, generator=generator())
    assert found.shape == (2, 3, side, side)


def test_a_cut_is_a_piece_of_its_own_tile_from_anywhere():
    """Pixels hold their own coordinates, so a piece tells where it is from."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    marked = (
        torch.stack([y, x]).expand(500, 2, 64, 64) + 100 * torch.arange(500)[:, None, None, None]
    )
    found = cut(marked, 0.5, generator=generator())
    for index, piece in enumerate(found):
        top, left = (piece[:, 0, 0] - 100 * index).tolist()
        assert torch.equal(piece, marked[index, :, top : top + 32, left : left + 32])
    corners = {tuple((piece[:, 0, 0] - 100 * index).tolist()) for index, piece in enumerate(found)}
    assert {y for y, _ in corners} == {x for _, x in corners} == set(range(33))


def test_a_crop_of_1_draws_no_random_number():
    used, fresh = generator(), generator()
    assert cut(tiles(), 1, generator=used) is not None
    assert torch.equal(torch.rand(3, generator=used), torch.rand(3, generator=fresh))


def test_what_is_cut_can_be_brought_back_to_the_size_of_the_tile():
    """Planes of coordinates: across a piece of 28 of 32 px they rise by 28 / 32 a pixel."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    before = torch.stack([y, x, y, y, x])[None].expand(50, 5, 32, 32)
    after = cut_and_enlarge(before, 0.875, generator=generator())
    assert after.shape == before.shape
    rise = after[:, 0, 10:20] - after[:, 0, 9:19]
    assert torch.allclose(rise, torch.full_like(rise, 28 / 32), atol=1e-5)
    corners = after[:, 3:, 0, 0]
    assert {tuple(corner) for corner in corners.int().tolist()} <= {
        (top, left) for top in range(5) for left in range(5)
    }
    # Image and planes are of one place, and a plane holds no value that was not there.
    assert (after[:, 0] - after[:, 3]).abs().max() <= 0.5
    assert not (after[:, 3:] % 1).any()


def test_enlarging_a_whole_tile_changes_nothing_and_augment_can_be_told_to():
    assert torch.equal(cut_and_enlarge(tiles(), 1, generator=generator()), tiles())
    plain = {"flips": False, "rotations": False, "crop": 0.875, "colour_jitter": 0.0}
    before = tiles(4, side=224)
    assert augment(before, **plain, generator=generator()).shape[-1] == 192
    told = augment(before, **plain, enlarge=True, generator=generator())
    assert torch.equal(told, cut_and_enlarge(before, 0.875, generator=generator()))
