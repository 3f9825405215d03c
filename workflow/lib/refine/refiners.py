"""From evidence to a probability per pixel: what each method of the refine stage does to tiles.

A refiner takes RGB tiles (B, 3, t, t) float in 0..1 and their evidence (B, t, t) float in 0..1, and
gives a probability (B, t, t) in 0..1. One that is not SPREADING (names.py) looks at the tiles alone
and gets nothing else; one of BLIND looks at the evidence alone, and its tiles are None.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.decoders import load_decoder
from workflow.lib.refine.irn import load_irn
from workflow.lib.refine.morphology import clean
from workflow.lib.refine.pixel_classifiers import load_pixel_classifier
from workflow.lib.refine.pixel_svm import load_svm
from workflow.lib.refine.random_fields import RandomField
from workflow.lib.refine.random_walks import spread
from workflow.lib.refine.region_decoders import load_region_decoder
from workflow.lib.refine.unets import load_unet

Refiner = Callable[..., torch.Tensor]

BLIND = ("none", *CAMS, "morphology")


def make_refiner(method: str, settings: Mapping, *, mpp: float) -> Refiner:
    """A refiner that nothing is learnt for; settings: those of its own, mpp: of the tiles."""
    if method in ("none", *CAMS):  # the evidence is of that method already
        return lambda _, evidence: evidence
    if method == "morphology":
        return lambda _, evidence: clean(evidence, **settings, mpp=mpp)
    if method == "crf":
        return RandomField(**settings, mpp=mpp)
    raise ValueError(f"method {method!r} has to be learnt before it can refine")


def load_refiner(
    method: str,
    settings: Mapping,
    folder: Path,
    classifier: Classifier,
    *,
    trained_on: str,
    device: torch.device,
) -> Refiner:
    """The refiner that was learnt into `folder`, on the classifier `trained_on` (svm: on none).

    settings: those of its own that nothing is learnt for. Raises ValueError, naming the file, as
    `load_decoder` does.
    """
    if method == "irn":
        network = load_irn(folder, classifier, trained_on=trained_on)
        network.to(device, memory_format=torch.channels_last)
        return lambda tiles, evidence: spread(evidence, *network(tiles), **settings)
    if method == "svm":
        model = load_svm(folder)
    else:
        loaders = {"rpnet": load_region_decoder, "unet": load_unet}
        load = (loaders | {"pixelcam": load_pixel_classifier}).get(method, load_decoder)
        model = load(folder, classifier, trained_on=trained_on)
    model.to(device, memory_format=torch.channels_last)
    return model.probability
