"""Checkpoints: found by name, known by content, read without running anything, fitted strictly."""

import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from workflow.lib.networks import checkpoints
from workflow.lib.networks.backbones import build_backbone


@pytest.fixture
def state():
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


@pytest.fixture
def layer():
    return nn.Linear(3, 2)


def test_identity_needs_no_torch():
    """Snakemake asks for it at every parse; importing torch there would cost seconds each time."""
    program = (
        "import sys; from workflow.lib.networks.checkpoints import identity; "
        "identity('resnet18', 'random', None); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_identity_is_of_the_content(tmp_path, state):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        folder.mkdir()
        save_file(state, folder / "mine.safetensors")
    os.utime(b / "mine.safetensors", (1, 1))
    known = checkpoints.identity("resnet18", "mine", a)
    assert known == checkpoints.identity("resnet18", "mine", str(b))
    save_file(state | {"bias": torch.ones(2)}, b / "mine.safetensors")
    assert known != checkpoints.identity("resnet18", "mine", b)


def test_identity_counts_the_card_and_not_its_formatting(tmp_path, state):
    save_file(state, tmp_path / "mine.safetensors")
    bare = checkpoints.identity("resnet18", "mine", tmp_path)
    (tmp_path / "mine.json").write_text('{"mpp": 0.5, "tile_px": 224}')
    carded = checkpoints.identity("resnet18", "mine", tmp_path)
    (tmp_path / "mine.json").write_text('{"tile_px":224,\n"mpp": 0.5}')
    assert bare != carded == checkpoints.identity("resnet18", "mine", tmp_path)


def test_identity_leaves_the_licence_out(tmp_path, state):
    """It changes no number: to write it down later makes nothing again."""
    save_file(state, tmp_path / "mine.safetensors")
    for rest in ({}, {"mpp": 0.5}):
        found = set()
        for licence in ({}, {"license": "MIT"}, {"license": "CC0-1.0"}):
            (tmp_path / "mine.json").write_text(json.dumps(rest | licence))
            found.add(checkpoints.identity("resnet18", "mine", tmp_path))
        assert len(found) == 1


def test_identity_of_weights_without_a_file():
    found = {name: checkpoints.identity("resnet18", name, None) for name in ("random", "imagenet")}
    assert found == {"random": "random", "imagenet": "torchvision:resnet18:IMAGENET1K_V1"}
    assert checkpoints.identity("hf-hub:a/b", "hub", None) == "hub:hf-hub:a/b"
    assert checkpoints.identity("resnet18", "deepcluster", None) == "deepcluster"


def test_what_was_learnt_in_a_fold_is_looked_for_in_no_folder(tmp_path, state):
    """Not even where a file has that name; and nobody gets ImageNet weights in its place."""
    save_file(state, tmp_path / "deepcluster.safetensors")
    assert checkpoints.identity("resnet18", "deepcluster", tmp_path) == "deepcluster"
    with pytest.raises(ValueError, match="only train_classifier starts from; set checkpoint to"):
        checkpoints.locate("resnet18", "deepcluster", tmp_path)
    with pytest.raises(ValueError, match="only train_classifier"):
        build_backbone("squeezenet1_1", checkpoint="deepcluster", weights=tmp_path, seed=0)


def test_imagenet_is_looked_for_in_the_folder_first(tmp_path, state):
    save_file(state, tmp_path / "vgg16_bn-imagenet.safetensors")
    assert checkpoints.locate("vgg16", "imagenet", tmp_path) is None
    file = tmp_path / "vgg16-imagenet-features.safetensors"
    save_file(state, file)
    assert checkpoints.locate("vgg16", "imagenet", tmp_path) == file
    save_file(state, tmp_path / "vgg16-imagenet-2.safetensors")
    with pytest.raises(ValueError, match="several.*vgg16-imagenet-2.*without its ending"):
        checkpoints.locate("vgg16", "imagenet", tmp_path)


def test_safetensors_are_preferred(tmp_path, state):
    torch.save(state, tmp_path / "mine.pth")
    assert checkpoints.locate("x", "mine", tmp_path).suffix == ".pth"
    save_file(state, tmp_path / "mine.safetensors")
    assert checkpoints.locate("x", "mine", tmp_path).suffix == ".safetensors"


def test_a_file_that_is_not_there_is_told_with_what_is(tmp_path, state):
    save_file(state, tmp_path / "theirs.safetensors")
    with pytest.raises(FileNotFoundError, match="'mine'.*holds theirs; put mine.safetensors"):
        checkpoints.identity("resnet18", "mine", tmp_path)
    with pytest.raises(FileNotFoundError, match="no weights folder is set"):
        checkpoints.identity("resnet18", "mine", None)
    with pytest.raises(ValueError, match="is a path"):
        checkpoints.identity("resnet18", "../mine", tmp_path)


@pytest.mark.parametrize("suffix", checkpoints.SUFFIXES)
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_every_kind_of_file_is_read(tmp_path, state, suffix, prefix, wrapper):
    file = tmp_path / f"mine{suffix}"
    stored = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    if suffix == ".safetensors":
        save_file(stored, file)
    else:
        torch.save({wrapper: stored, "epoch": 3} if wrapper else stored, file)
    found = checkpoints.read(file)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


@pytest.mark.parametrize(
    "save", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))]
)
def test_a_malicious_checkpoint_is_refused_and_not_run(tmp_path, save):
    save({"weight": Evil(tmp_path / "pwned")}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="evil.pth.*never executed"):
        checkpoints.read(tmp_path / "evil.pth")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_cut_checkpoint_is_an_error_that_names_the_file(tmp_path, state, suffix):
    file = tmp_path / f"mine{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"mine{suffix}.*fetch it again"):
        checkpoints.read(file)


def test_a_flipped_bit_is_seen_when_the_card_has_the_hash(tmp_path, state):
    file = tmp_path / "mine.safetensors"
    save_file(state, file)
    (tmp_path / "mine.json").write_text(json.dumps({"sha256": checkpoints.sha256(file)}))
    checkpoints.read(file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="mine.safetensors has sha256 .*damaged"):
        checkpoints.read(file)


@pytest.mark.parametrize("text", ['{"licence": "MIT"}', '{"license": ["MIT"]}', "[1]", "{"])
def test_a_bad_card_is_an_error(tmp_path, state, text):
    save_file(state, tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match="mine.json"):
        checkpoints.card(tmp_path / "mine.safetensors")


def test_other_things_than_tensors_are_refused(tmp_path):
    torch.save({"weight": [1.0, 2.0]}, tmp_path / "mine.pth")
    with pytest.raises(ValueError, match="mine.pth is not a table of tensors"):
        checkpoints.read(tmp_path / "mine.pth")


def test_load_puts_every_tensor_in_its_place(layer, state):
    checkpoints.load(layer, state | {"head.weight": torch.ones(1)}, source="f", heads={"head"})
    assert torch.equal(layer.weight, state["weight"]) and torch.equal(layer.bias, state["bias"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("bias"), "missing: bias"),
        (lambda s: s.update(extra=torch.ones(1)), "unexpected: extra"),
        (lambda s: s.update(bias=torch.ones(3)), r"of another shape: bias \(3,\) for \(2,\)"),
        (lambda s: s.update(bias=torch.tensor([0.0, torch.nan])), "not finite: bias"),
        (lambda s: s.update({"module.bias": s.pop("bias")}), "missing: bias; unexpected: module"),
    ],
)
def test_load_is_strict(layer, state, change, said):
    before = layer.weight.clone()
    change(state)
    with pytest.raises(ValueError, match=f"here.pth do not fit .*{said}"):
        checkpoints.load(layer, state, source="here.pth")
    assert torch.equal(layer.weight, before)


def test_old_checkpoints_without_batch_counters_fit():
    norm = nn.BatchNorm2d(2)
    state = {k: v for k, v in norm.state_dict().items() if k != "num_batches_tracked"}
    checkpoints.load(norm, state, source="old.pth")
