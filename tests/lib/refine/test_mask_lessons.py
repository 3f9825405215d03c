"""Learning from pixel masks: the truth of tiles, the loss by hand, image and truth together."""

import logging

import numpy as np
import pytest
import torch

from tests.scripts import cohort
from workflow.lib.refine.known_truth import check_truth, known_truth
from workflow.lib.refine.mask_lessons import MaskLesson
from workflow.lib.refine.truth_bags import open_truth_bag
from workflow.lib.refine.weight_maps import balance

BORDER = {"border_weight": 10.0, "border_sigma_px": 2.0}
CALM = {"flips": False, "rotations": False, "elastic_px": 0, "colour_jitter": 0}
T = cohort.TILE_PX


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("lesson")
    cohort.build(root)
    return root


@pytest.fixture(scope="module")
def bag(root):
    made_of = cohort.masked("train_unet", root, {"p1": 255, "p2": 3})
    masks, _ = known_truth([s for s in made_of.slides if s.slide in ("n1", "p1", "p2")], "normal")
    return open_truth_bag(root / "tiles", masks, root / "work", **BORDER)[0]


def drawn():
    truth = np.zeros((T, T), np.float32)
    truth[: T // 2, : T // 2] = 1
    return truth


def test_a_bag_knows_the_truth_of_its_tiles(bag):
    assert bag.tiles.slides == ["n1", "p1", "p2"]
    assert bag.masks == ["p1", "p2"]  # n1 is background throughout and needs no mask
    tiles = 3 * cohort.COUNT - 1  # one tile of p1 could not be read
    marked = (2 * cohort.COUNT - 1) * T * T // 4
    assert bag.counts.tolist() == [tiles * T * T - marked, marked]
    maps = bag.maps(torch.tensor([0, cohort.COUNT, len(bag.tiles) - 1]))
    assert maps.shape == (3, 2, T, T) and maps.dtype == torch.float32
    assert not maps[0].any()
    assert np.array_equal(maps[1:, 0], np.stack([drawn()] * 2))


def test_the_border_term_knows_what_lies_beyond_the_tile(bag):
    """The next tile's square is 32 px away: with a deviation of 16 px it counts, with 2 not."""
    near = bag.maps(torch.tensor([cohort.COUNT]))[0, 1]
    assert near.max() < 1e-3


def test_the_border_term_reaches_into_the_next_tile(root):
    made_of = cohort.masked("train_unet", root, {"p1": 1})
    masks = {"p1": next(s.mask for s in made_of.slides if s.slide == "p1")}
    wide = {"border_weight": 10.0, "border_sigma_px": 16.0}
    bag, _ = open_truth_bag(root / "tiles", masks, root / "wide", **wide)
    term = bag.maps(torch.tensor([0]))[0, 1]
    assert term[10, 40:60].numpy() == pytest.approx(10 * np.exp(-(32**2) / (2 * 16**2)), rel=2e-3)


def test_slides_whose_truth_is_not_known_are_left_out_with_a_sentence(root, caplog):
    made_of = cohort.masked("train_unet", root, {"p1": 1, "n2": 1})
    masks, sentences = known_truth(made_of.slides, "normal")
    assert masks == {"n1": None, "n2": root / "n2.png", "n3": None, "p1": root / "p1.png"}
    assert "p2 is left out where pixels are learnt: it is labelled tumour" in " ".join(sentences)
    assert "n1" in known_truth(made_of.slides, "normal")[0]
    assert "n1" not in known_truth(made_of.slides, None)[0]
    assert "p3 is left out" in caplog.text


def test_a_mask_that_cannot_be_used_leaves_its_slide_out(root, caplog):
    (root / "bad.png").write_bytes(b"no image")
    masks = {"p1": root / "bad.png", "n1": None, "quarantined": None}
    with caplog.at_level(logging.WARNING):
        bag, sentences = open_truth_bag(root / "tiles", masks, root / "bad", **BORDER)
    assert bag.tiles.slides == ["n1"] and bag.masks == []
    assert sentences[0].startswith("p1 is left out where pixels are learnt: bad.png is not a read")
    with pytest.raises(ValueError, match="Fold 3 has no training slide with a pixel mask .* unet"):
        check_truth("unet", 3, bag.masks, bag.counts)


def test_masks_that_mark_nothing_or_all_are_refused():
    with pytest.raises(ValueError, match="all pixels of its training tiles are background"):
        check_truth("unet", 0, ["a", "b"], np.array([9, 0]))
    with pytest.raises(ValueError, match="foreground, .* look at the masks of a, b, or leave unet"):
        check_truth("unet", 0, ["a", "b"], np.array([0, 9]))


class Fixed(torch.nn.Module):
    """Says the same of every pixel, and remembers what it was shown."""

    def __init__(self, logit):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.tensor(logit))

    def place(self, device):
        return self.to(device)

    def forward(self, tiles):
        self.seen = tiles
        foreground = self.logit.expand(len(tiles), *tiles.shape[-2:])
        return torch.stack([torch.zeros_like(foreground), foreground], dim=1)


def lesson(bag, logit=0.0, **augmentation):
    return MaskLesson(
        Fixed(logit),
        bag,
        bag,
        batch_size=4,
        augmentation=CALM | augmentation,
        precision="fp32",
        device=torch.device("cpu"),
    )


def test_the_loss_is_the_mean_of_weighted_cross_entropies(bag):
    made = lesson(bag, logit=1.5)
    indices = torch.tensor([cohort.COUNT])  # a quarter of the tile is foreground
    loss = made.loss(indices, made.read(indices), torch.Generator())
    low, high = balance(bag.counts)
    said = np.log(1 + np.exp(1.5)), np.log(1 + np.exp(-1.5))
    assert loss.item() == pytest.approx(0.75 * low * said[0] + 0.25 * high * said[1], rel=1e-3)
    assert made.recall() == {"loss": pytest.approx(loss.item())}


def test_a_guess_costs_the_same_whichever_class_is_rare(bag):
    made = lesson(bag)
    assert made.validate()["loss"] == pytest.approx(np.log(2), rel=1e-3)
    assert made.validate() == made.validate()


@pytest.mark.parametrize(
    "changes", [{"flips": True}, {"rotations": True}, {"elastic_px": 4.0}, {"colour_jitter": 0.2}]
)
def test_truth_goes_with_its_image(bag, changes, monkeypatch):
    """The red square is where the truth is, whatever is done to both."""
    made, kept = lesson(bag, **changes), {}
    monkeypatch.setattr(made, "_loss", lambda tiles, maps: kept.update(tiles=tiles, maps=maps))
    indices = torch.arange(cohort.COUNT, cohort.COUNT + 4)
    pixels = made.read(indices)
    made.loss(indices, pixels, torch.Generator().manual_seed(0))
    red = (kept["tiles"][:, 0] - kept["tiles"][:, 1]) > 0.35
    truth = kept["maps"][:, 0]
    assert set(truth.unique().tolist()) == {0, 1}
    assert (red == truth.bool()).float().mean() > 0.98
    moved = truth.numpy() != drawn()
    assert moved.any() == ("colour_jitter" not in changes)


def test_the_same_generator_augments_alike(bag):
    made = lesson(bag, logit=0.7, flips=True, rotations=True, elastic_px=5.0, colour_jitter=0.2)
    indices = torch.arange(4)
    draw = lambda seed: (  # noqa: E731
        made.loss(indices, made.read(indices), torch.Generator().manual_seed(seed)),
        made.model.seen,
    )[1]
    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_batches_hold_every_tile_once_but_for_a_last_that_is_not_full(bag):
    drawn_tiles = torch.cat(lesson(bag).batches(0))
    assert len(drawn_tiles) == len(drawn_tiles.unique()) == len(bag.tiles) // 4 * 4
