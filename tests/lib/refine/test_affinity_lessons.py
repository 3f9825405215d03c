"""IRNet as a lesson: labels stay with their tile, and boundaries are learnt from them."""

import pytest
import torch

from tests.lib.squares import SIDE, Store
from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.fitting import fit
from workflow.lib.refine.affinity_lessons import COLUMNS, AffinityLesson
from workflow.lib.refine.irn import IRNet
from workflow.lib.tiles import augmentation
from workflow.lib.tiles.bags import TileBag

STILL = {"flips": False, "rotations": False, "crop": 1, "colour_jitter": 0.0}


def labelled(stores):
    """Tiles with the labels of their red squares, one label for 4 x 4 pixels."""
    tiles = TileBag([f"s{k}" for k in range(len(stores))], stores, [0] * len(stores))
    masks = [torch.from_numpy(store.squares()[:, ::4, ::4].copy()) for store in stores]
    return tiles, torch.cat([torch.zeros(0, SIDE // 4, SIDE // 4, dtype=torch.uint8), *masks])


def lesson_of(training, validation=None, augmentation=STILL, kind=AffinityLesson, **changes):
    torch.manual_seed(0)
    model = Classifier(Backbone("squeezenet1_1"), ["normal", "tumour"], tile_px=SIDE, mpp=1.0)
    settings = {"radius": 3, "batch_size": 8, "precision": "fp32", "device": torch.device("cpu")}
    return kind(
        IRNet(model),
        training,
        training if validation is None else validation,
        augmentation=augmentation,
        **(settings | changes),
    )


@pytest.mark.parametrize("colour_jitter", [0.0, 0.3])
@pytest.mark.parametrize(("crop", "side"), [(1, SIDE), (0.5, SIDE // 2)])
def test_image_and_labels_are_turned_and_cut_together(monkeypatch, colour_jitter, crop, side):
    """After any augmentation the red square still lies under its label."""
    seen = {}

    class Spy(AffinityLesson):
        def _judge(self, tiles, labels):
            seen.update(tiles=tiles, labels=labels[:, 0])

    monkeypatch.setattr(augmentation, "STEP_PX", 16)
    changes = {"flips": True, "rotations": True, "crop": crop, "colour_jitter": colour_jitter}
    training = labelled([Store(12)])
    lesson = lesson_of(training, augmentation=changes, kind=Spy)
    indices = torch.arange(12)
    lesson.loss(indices, lesson.read(indices), torch.Generator().manual_seed(0))
    assert seen["labels"].shape == (12, side, side)
    still = training[1].repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :side, :side]
    assert (seen["labels"] != still).any()
    redness = seen["tiles"][:, 0] - seen["tiles"][:, 1]
    assert redness[seen["labels"] == 1].min() > redness[seen["labels"] == 0].max()


def test_labels_reach_the_loss_as_they_are():
    class Spy(AffinityLesson):
        judged = None

        def _judge(self, tiles, labels):
            self.judged = labels
            return super()._judge(tiles, labels)

    training = labelled([Store(3)])
    training[1][0, 0, 0] = 255
    lesson = lesson_of(training, kind=Spy)
    indices = torch.tensor([2, 0])
    lesson.loss(indices, lesson.read(indices), torch.Generator().manual_seed(0))
    assert torch.equal(lesson.judged[:, 0, ::4, ::4], training[1][indices].float())


def test_the_loss_is_half_the_sum_of_its_terms():
    lesson = lesson_of(labelled([Store(4)]))
    said = lesson.validate()
    assert tuple(said) == COLUMNS and min(said.values()) > 0
    assert said["loss"] == pytest.approx(sum(said[name] for name in COLUMNS[1:]) / 2, rel=1e-5)
    assert lesson.validate() == said


def test_no_validation_tiles_no_validation():
    assert lesson_of(labelled([Store(2)]), labelled([])).validate() is None


def test_displacements_learn_at_their_own_rate_and_nothing_else_is_trained():
    lesson = lesson_of(labelled([Store(2)]))
    groups = lesson.groups(0.01, 10.0, 0.1)
    rates = [(group["peak"], group["weight_decay"]) for group in groups]
    assert rates == [(0.01, 0.1), (0.01, 0.0), (0.1, 0.1), (0.1, 0.0)]
    trained = [id(p) for group in groups for p in group["params"]]
    assert sorted(trained) == sorted(map(id, lesson.model.learnt.parameters()))


def test_it_learns_where_squares_end_and_centres_displacements(tmp_path):
    training = labelled([Store(16)])
    lesson = lesson_of(training)
    before = lesson.validate()
    groups = lesson.groups(0.01, 1.0, 0.0)
    fit(lesson, groups, epochs=8, patience=None, seed=0, work=tmp_path, key="k")
    after = lesson.validate()
    assert after["loss"] < 0.7 * before["loss"]
    # A boundary that is the same everywhere has no less than twice log 2.
    assert after["alike_loss"] + after["unlike_loss"] < 1.2
    lesson.centre()
    with torch.no_grad():
        shown = torch.from_numpy(training[0].read(range(16))).permute(0, 3, 1, 2) / 255
        _, displacement = lesson.model(shown)
    assert displacement.mean(dim=(0, 2, 3)) == pytest.approx(torch.zeros(2), abs=1e-4)
    assert displacement.std() > 0.1
