"""Which refiner a method means."""

import pytest
import torch

from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.jobs.names import METHODS, UNLEARNT
from workflow.lib.refine.refiners import BLIND, make_refiner

SETTINGS = {
    "morphology": {"open_um": 0, "min_object_um2": 20, "max_hole_um2": 20},
    "crf": {
        "position_um": 5.0,
        "colour": 20.0,
        "bilateral_weight": 10.0,
        "smooth_um": 2.0,
        "smooth_weight": 3.0,
        "iterations": 2,
    },
}


@pytest.mark.parametrize("method", UNLEARNT)
def test_methods_that_are_not_learnt_give_a_probability_per_pixel(method):
    evidence = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0))
    tiles = None if method in BLIND else torch.rand(2, 3, 32, 32)
    found = make_refiner(method, SETTINGS.get(method, {}), mpp=1.0)(tiles, evidence)
    assert found.shape == evidence.shape and 0 <= found.min() <= found.max() <= 1
    assert torch.equal(found, evidence) == (method in ("none", *CAMS))


def test_a_method_that_is_learnt_is_not_made_from_settings():
    with pytest.raises(ValueError, match="method 'negev' has to be learnt"):
        make_refiner("negev", {}, mpp=1.0)


def test_every_method_has_a_name():
    assert set(UNLEARNT) <= set(METHODS) and set(BLIND) <= set(UNLEARNT)
