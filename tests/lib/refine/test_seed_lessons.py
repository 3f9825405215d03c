"""NEGEV as a lesson: evidence stays with its tile, and the decoder learns from it."""

import numpy as np
import pytest
import torch

from tests.lib.squares import SIDE, Store
from workflow.lib.evidence.cams import upsample
from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.fitting import fit
from workflow.lib.refine.decoders import Decoder
from workflow.lib.refine.negev import NO_SEED
from workflow.lib.refine.seed_bags import cam_bag, mask_bag
from workflow.lib.refine.seed_lessons import SeedLesson, make_sampler
from workflow.lib.tiles import augmentation
from workflow.lib.tiles.bags import TileBag

STILL = {"flips": False, "rotations": False, "crop": 1, "colour_jitter": 0.0}
PUBLISHED = {"foreground_pixels": 1, "background_pixels": 1, "dilate_px": 3}


def decoder():
    torch.manual_seed(0)
    model = Classifier(Backbone("resnet18"), ["normal", "tumour"], tile_px=SIDE, mpp=1.0)
    return Decoder(model, (16, 16, 16, 16, 16))


def bag_of(stores, negative=None):
    tiles = TileBag([f"s{k}" for k in range(len(stores))], stores, negative or [0] * len(stores))
    return cam_bag(tiles, [store.evidence().__getitem__ for store in stores], SIDE)


def lesson_of(training, validation, sampler=None, augmentation=STILL, kind=SeedLesson, **more):
    return kind(
        decoder(),
        training,
        validation,
        sampler or make_sampler(seeds="cam", background="intended", **PUBLISHED),
        seed_weight=1.0,
        batch_size=8,
        augmentation=augmentation,
        precision="fp32",
        seed=0,
        device=torch.device("cpu"),
        **more,
    )


def test_every_tile_keeps_its_own_evidence_when_unreadable_tiles_are_left_out():
    stores = [Store(3, bad=[1]), Store(4, bad=[0, 3], seed=1)]
    bag = bag_of(stores)
    expected = torch.cat([stores[0].evidence()[[0, 2]], stores[1].evidence()[[1, 2]]])
    indices = torch.tensor([3, 0, 2])
    assert len(bag.tiles) == 4
    assert torch.equal(bag.maps(indices), upsample(expected[indices], SIDE))
    assert bag.thinned


def test_every_tile_keeps_its_own_pseudo_mask():
    stores = [Store(3, bad=[1]), Store(4, bad=[0, 3], seed=1)]
    tiles = TileBag(["a", "b"], stores, [0, 0])
    bag = mask_bag(tiles, [store.masks() for store in stores])
    expected = np.concatenate([stores[0].masks()[[0, 2]], stores[1].masks()[[1, 2]]])
    assert np.array_equal(bag.maps(torch.tensor([3, 0, 2])).numpy(), expected[[3, 0, 2]])
    assert not bag.thinned


def test_a_bag_of_nothing_is_empty():
    assert len(cam_bag(TileBag([], [], []), [], SIDE).tiles) == 0


@pytest.mark.parametrize("colour_jitter", [0.0, 0.3])
@pytest.mark.parametrize(("crop", "side"), [(1, SIDE), (0.5, SIDE // 2)])
def test_image_and_map_are_turned_and_cut_together_and_only_the_image_changes_colour(
    monkeypatch, colour_jitter, crop, side
):
    """After any augmentation the red square still lies under the evidence."""
    seen = {}

    class Spy(SeedLesson):
        def _terms(self, bag, indices, tiles, maps, generator):
            seen.update(tiles=tiles, maps=maps)
            return tiles.sum(), tiles.sum(), tiles.sum()

    monkeypatch.setattr(augmentation, "STEP_PX", 16)
    store = Store(16)
    bag = bag_of([store])
    changes = {"flips": True, "rotations": True, "crop": crop, "colour_jitter": colour_jitter}
    lesson = lesson_of(bag, bag, augmentation=changes, kind=Spy)
    indices = torch.arange(16)
    lesson.loss(indices, lesson.read(indices), torch.Generator().manual_seed(0))
    assert seen["maps"].shape == (16, side, side)
    turned = ~(seen["maps"] == bag.maps(indices)[:, :side, :side]).all(dim=(1, 2))
    assert turned.any()
    redness = seen["tiles"][:, 0] - seen["tiles"][:, 1]
    assert redness[seen["maps"] == 1].min() > redness[seen["maps"] == 0].max()
    assert seen["maps"].min() == 0
    assert seen["maps"].max() == 1


def test_tiles_without_evidence_get_no_foreground_seed():
    tiles = TileBag(["a"], [Store(2)], [0])
    bag = cam_bag(tiles, [torch.stack([torch.zeros(4, 4), torch.ones(4, 4)]).__getitem__], SIDE)
    lesson = lesson_of(bag, bag, lambda maps, _: torch.ones(maps.shape, dtype=torch.int64))
    lesson.model.eval()
    losses = [
        lesson.loss(index, lesson.read(index), torch.Generator().manual_seed(0)).item()
        for index in torch.arange(2).split(1)
    ]
    assert losses[0] == 0.0
    assert losses[1] > 0.0


def test_validation_draws_the_same_seeds_every_time():
    bag = bag_of([Store(8)])
    lesson = lesson_of(bag, bag)
    lesson.model.eval()
    first = lesson.validate()
    assert lesson.validate() == first
    assert set(first) == {"loss", "seed_loss", "negative_loss"}


def test_no_validation_tiles_no_validation():
    bag = bag_of([Store(4)])
    assert lesson_of(bag, bag_of([])).validate() is None


def test_samplers_are_chosen_by_name():
    maps, generator = torch.rand(2, 16, 16), torch.Generator().manual_seed(0)
    seeds = make_sampler(seeds="cam", background="official", **PUBLISHED)(maps, generator)
    assert set(seeds.unique().tolist()) == {0, 1, NO_SEED}
    ignored = torch.full((2, 16, 16), 255, dtype=torch.uint8)
    seeds = make_sampler(seeds="pseudo_mask", background="official", **PUBLISHED)(
        ignored, generator
    )
    assert set(seeds.unique().tolist()) == {NO_SEED}
    with pytest.raises(ValueError, match="write cam or pseudo_mask"):
        make_sampler(seeds="mask", background="official", **PUBLISHED)


@pytest.mark.parametrize("kind", ["cam", "pseudo_mask"])
def test_it_learns_where_from_seeds_and_that_negative_slides_hold_nothing(tmp_path, kind):
    stores = [Store(24), Store(24, red=False, seed=1)]
    tiles = TileBag(["positive", "negative"], stores, [0, 1])
    if kind == "cam":
        bag = cam_bag(tiles, [store.evidence().__getitem__ for store in stores], SIDE)
    else:
        bag = mask_bag(tiles, [store.masks() for store in stores])
    sampler = make_sampler(seeds=kind, background="intended", **PUBLISHED)
    lesson = lesson_of(bag, bag, sampler)
    lesson.model.eval()
    before = lesson.validate()["loss"]
    groups = lesson.groups(learning_rate=0.02, weight_decay=0.0)
    outcome = fit(lesson, groups, epochs=6, patience=6, seed=0, work=tmp_path, key="k")
    losses = [row["loss"] for row in outcome["curves"] if row["split"] == "val"]
    assert losses[-1] < 0.3 * before
    unseen = Store(8, seed=7)
    with torch.no_grad():
        pixels = torch.from_numpy(unseen.tiles).permute(0, 3, 1, 2) / 255
        probability = lesson.model.probability(pixels)
    inside = torch.from_numpy(unseen.masks()).bool()
    assert probability[inside].mean() > probability[~inside].mean() + 0.3
    nothing = Store(8, red=False, seed=8)
    with torch.no_grad():
        empty = lesson.model.probability(torch.from_numpy(nothing.tiles).permute(0, 3, 1, 2) / 255)
    assert empty.mean() < 0.2
