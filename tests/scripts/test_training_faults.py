"""A decoder whose numbers stop being numbers says on which slide, whatever the method."""

import pytest
import torch

from tests.scripts import (
    test_train_irn,
    test_train_negev,
    test_train_points,
    test_train_rpnet,
    test_train_unet,
)
from workflow.lib.refine import affinity_lessons, mask_lessons, seed_lessons

METHODS = {
    "negev": (test_train_negev.train, seed_lessons),
    "irn": (test_train_irn.train, affinity_lessons),
    "rpnet": (test_train_rpnet.train, seed_lessons),
    "points": (test_train_points.train, seed_lessons),
    "unet": (test_train_unet.train, mask_lessons),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_a_number_names_the_slide_and_writes_nothing(study, monkeypatch, method):
    """Tiles of p1, which have a red square as others of tumour slides, reach the network as NaN."""
    train, module = METHODS[method]
    to_input = module.to_input

    def poisoned(pixels, device):
        red = torch.from_numpy(pixels[:, 0, 0] == (220, 30, 30)).all(dim=1)
        return to_input(pixels, device).masked_fill(red[:, None, None, None], torch.nan)

    monkeypatch.setattr(module, "to_input", poisoned)
    if method == "points":
        test_train_points.mark(study)
    with pytest.raises(ValueError, match="training loss is nan in epoch 1, on tiles of p1; look"):
        train(study, out="broken", batch_size=1)
    assert not list((study.root / "decoders").rglob("*.safetensors"))
    assert not list((study.root / "decoders").rglob("checkpoint.pt"))
