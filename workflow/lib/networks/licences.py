"""Under which licence weights of others may be used, as far as they say so.

Known are those of encoders that `timm_encoders.HUB` names, from what their authors state. For any
other file the card beside it says (`license`), or nobody.
"""

from pathlib import Path

from workflow.lib.jobs.names import UNSTATED
from workflow.lib.networks import checkpoints

TORCHVISION = "none stated by torchvision; terms of ImageNet may apply"
KNOWN = {
    "MahmoodLab/UNI": "CC-BY-NC-ND-4.0",
    "MahmoodLab/UNI2-h": "CC-BY-NC-ND-4.0",
    "bioptimus/H-optimus-0": "Apache-2.0",
    "paige-ai/Virchow2": "CC-BY-NC-ND",
}


def licence(architecture: str, checkpoint: str, weights: Path | None) -> str:
    """The licence of the weights that `checkpoint` is for `architecture`; "" for none of others.

    A licence in a card is what its owner wrote, and not checked. Raises like `checkpoints.locate`.
    """
    if checkpoint in ("random", "deepcluster"):
        return ""
    if path := checkpoints.locate(architecture, checkpoint, weights):
        return checkpoints.card(path).get("license", UNSTATED)
    if checkpoint == "imagenet":
        return TORCHVISION
    return KNOWN.get(architecture.removeprefix("hf-hub:").split("@")[0], UNSTATED)
