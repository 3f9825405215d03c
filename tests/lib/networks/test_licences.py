"""Licences of weights: from the card of a file, of known encoders by name, else not stated."""

import json
import subprocess
import sys

import pytest

from workflow.lib.jobs.names import UNSTATED
from workflow.lib.networks.licences import KNOWN, TORCHVISION, licence


@pytest.mark.parametrize(
    ("architecture", "checkpoint", "found"),
    [
        ("resnet18", "random", ""),
        ("resnet18", "deepcluster", ""),
        ("resnet18", "imagenet", TORCHVISION),
        ("hf-hub:MahmoodLab/UNI2-h", "hub", "CC-BY-NC-ND-4.0"),
        ("hf-hub:bioptimus/H-optimus-0@v1", "hub", "Apache-2.0"),
        ("hf-hub:somebody/something", "hub", UNSTATED),
        ("hf-hub:MahmoodLab/UNI2-h", "random", ""),
        ("vit_small_patch16_224", "hub", UNSTATED),
    ],
)
def test_weights_without_a_file(architecture, checkpoint, found):
    assert licence(architecture, checkpoint, None) == found


def test_of_a_file_its_card_says_it_and_no_name_of_an_encoder_does(tmp_path):
    """A file that is called like UNI may be anything."""
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    asked = ("hf-hub:MahmoodLab/UNI", "mine", tmp_path)
    assert licence(*asked) == UNSTATED
    (tmp_path / "mine.json").write_text(json.dumps({"mpp": 0.5}))
    assert licence(*asked) == UNSTATED
    (tmp_path / "mine.json").write_text(json.dumps({"license": "CC-BY-NC-4.0"}))
    assert licence(*asked) == "CC-BY-NC-4.0"


def test_an_imagenet_file_of_the_folder_is_a_file(tmp_path):
    (tmp_path / "resnet18-imagenet-v1.safetensors").write_bytes(b"weights")
    assert licence("resnet18", "imagenet", tmp_path) == UNSTATED


def test_known_are_only_encoders_that_can_be_named():
    from workflow.lib.networks.timm_encoders import HUB

    assert set(KNOWN) <= set(HUB)


def test_asking_needs_no_torch():
    """Snakemake asks whenever it parses."""
    program = (
        "import sys; from workflow.lib.networks.licences import licence; "
        "licence('resnet18', 'random', None); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
