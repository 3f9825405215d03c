"""RPNet as a lesson: it learns where from part of the evidence, with the help of other slides."""

import torch

from tests.lib.refine.test_seed_lessons import PUBLISHED, SIDE, STILL, Store
from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.fitting import fit
from workflow.lib.refine import region_lessons
from workflow.lib.refine.region_decoders import RegionDecoder
from workflow.lib.refine.region_lessons import RegionLesson
from workflow.lib.refine.seed_bags import cam_bag
from workflow.lib.refine.seed_lessons import make_sampler
from workflow.lib.tiles.bags import TileBag

LABELS = {"p": "tumour", "q": "tumour", "n": "normal"}


def bag_of(*names, count=6):
    stores = [Store(count, red=name != "n", seed=k) for k, name in enumerate(names)]
    tiles = TileBag(list(names), stores, [int(name == "n") for name in names])
    return cam_bag(tiles, [store.evidence().__getitem__ for store in stores], SIDE)


def lesson_of(training, validation, *, consistency_weight=1.0, batch_size=6):
    torch.manual_seed(0)
    frozen = Classifier(Backbone("resnet18"), ["normal", "tumour"], tile_px=SIDE, mpp=1.0)
    made = {"resolutions": 4, "dim": 8, "prototypes": 3, "temperature": 0.1}
    return RegionLesson(
        RegionDecoder(frozen, (8, 8, 8, 8, 8), **made),
        training,
        validation,
        make_sampler(seeds="cam", background="intended", **PUBLISHED),
        labels=LABELS,
        foreground=0.6,
        background=0.2,
        consistency_weight=consistency_weight,
        seed_weight=1.0,
        batch_size=batch_size,
        augmentation=STILL,
        precision="fp32",
        seed=0,
        device=torch.device("cpu"),
    )


def loss_of(lesson, indices):
    lesson.model.eval()
    indices = torch.tensor(indices)
    with torch.no_grad():
        lesson.loss(indices, lesson.read(indices), torch.Generator().manual_seed(0))
    return lesson.recall()


def test_the_terms_and_their_sum():
    bag = bag_of("p", "q", "n")
    told = loss_of(lesson_of(bag, bag, consistency_weight=0.5), [0, 6, 12])
    parts = told["seed_loss"] + told["negative_loss"] + 0.5 * told["consistency_loss"]
    assert abs(told["loss"] - parts) < 1e-5
    assert min(told.values()) > 0


def test_a_tile_alone_agrees_with_itself():
    bag = bag_of("p", "n")
    lesson = lesson_of(bag, bag)
    assert loss_of(lesson, [0])["consistency_loss"] < 1e-6
    assert loss_of(lesson, [6])["seed_loss"] == 0


def test_no_validation_tiles_no_validation():
    assert lesson_of(bag_of("p"), bag_of()).validate() is None


def test_it_learns_where_and_keeps_what_training_slides_look_like(tmp_path):
    bag = bag_of("p", "q", "n", count=12)
    lesson = lesson_of(bag, bag, batch_size=9)
    groups = lesson.groups(learning_rate=0.02, weight_decay=0.0)
    fit(lesson, groups, epochs=5, patience=None, seed=0, work=tmp_path, key="k")
    assert not lesson.model.learnt["bank"].known.any()
    lesson.fill_bank()
    assert lesson.model.learnt["bank"].known.all()
    unseen = Store(8, seed=7)
    inside = torch.from_numpy(unseen.masks()).bool()
    pixels = torch.from_numpy(unseen.tiles).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        probability = lesson.model.probability(pixels)
        _, projected = lesson.model.look(pixels)
        bank = lesson.model.learnt["bank"]
        seen = lesson.model.compare(projected, bank.prototypes, bank.known.T.expand(8, -1, -1))
    assert probability[inside].mean() > probability[~inside].mean() + 0.3
    shrunk = inside[:, 1::2, 1::2][:, ::2, ::2]
    assert seen.shape == shrunk.shape
    assert seen[shrunk].mean() > seen[~shrunk].mean() + 0.3


def test_a_bank_is_made_from_so_many_tiles_at_most_and_slides_share_them(monkeypatch):
    """18 tiles of three slides, of which 8 may be read: 2 of the slide with 2, 3 of the others."""
    stores = {"p": (10, True), "q": (6, True), "n": (2, False)}
    made = [Store(count, red=red, seed=k) for k, (count, red) in enumerate(stores.values())]
    tiles = TileBag(list(stores), made, [0, 0, 1])
    bag = cam_bag(tiles, [store.evidence().__getitem__ for store in made], SIDE)
    lesson, filled = lesson_of(bag, bag), []
    assert lesson._sources().tolist() == list(range(18))  # below the limit all, in their order
    monkeypatch.setattr(region_lessons, "MOST_TILES", 8)
    chosen = lesson._sources()
    assert tiles.slide[chosen].bincount().tolist() == [3, 3, 2]
    assert chosen.tolist() == sorted(set(chosen.tolist())) == lesson._sources().tolist()
    lesson.seed = 1
    assert lesson._sources().tolist() != chosen.tolist()
    bank = lesson.model.learnt["bank"]
    monkeypatch.setattr(bank, "fill", lambda found, known, seed: filled.append(len(found)))
    lesson.model.eval()
    lesson.fill_bank()
    assert filled == [8]
