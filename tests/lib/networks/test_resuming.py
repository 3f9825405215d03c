"""What training goes on from: the last whole state of the same training, or nothing."""

import json
import logging

import pytest
import torch

from workflow.lib.networks.resuming import make_key, resume, save

STATE = {"key": "k", "round": 2, "weights": torch.arange(1000.0), "curves": [{"loss": 0.5}]}


def test_what_was_saved_comes_back(tmp_path):
    save(tmp_path, {**STATE, "round": 1})
    save(tmp_path, STATE)
    found = resume(tmp_path, "k")
    assert torch.equal(found.pop("weights"), STATE["weights"])
    assert found == {key: value for key, value in STATE.items() if key != "weights"}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_another_training_starts_anew(tmp_path):
    assert resume(tmp_path / "none", "k") is None
    save(tmp_path, STATE)
    assert resume(tmp_path, "other") is None


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_cut_checkpoint_is_no_checkpoint(tmp_path, caplog, share):
    save(tmp_path, STATE)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with caplog.at_level(logging.WARNING):
        assert resume(tmp_path, "k") is None
    assert "starts anew" in caplog.text


@pytest.mark.parametrize("place", [0, 40, 2000, -1])
def test_a_flipped_byte_is_no_checkpoint(tmp_path, place):
    save(tmp_path, STATE)
    file = tmp_path / "checkpoint.pt"
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert resume(tmp_path, "k") is None


def test_a_key_is_of_settings_slides_results_and_verdicts(tmp_path):
    def unit(folder, recipe, verdict="ok"):
        folder.mkdir(parents=True, exist_ok=True)
        record = {"recipe": recipe, "verdict": verdict, "sentence": ""}
        (folder / "manifest.json").write_text(json.dumps(record))

    def key(recipe=None, placed=None, **others):
        recipe = recipe or {"settings": {"rate": 1}, "slides": {"a": 1}}
        sources = [tmp_path / "tiles", tmp_path / "network"]
        return make_key(recipe, placed or {"a": "train", "b": "val"}, sources, *others.values())

    for name in ("a", "b"):
        unit(tmp_path / "tiles" / name, {"of": name})
    unit(tmp_path / "network", {"of": "network"})
    known = key()
    assert key() == known
    assert key({"settings": {"rate": 1}, "slides": {"a": 2}}) == known  # the tiles say it better
    seen = {
        known,
        key({"settings": {"rate": 2}, "slides": {"a": 1}}),
        key(placed={"a": "val", "b": "val"}),
        key(fold=1),
    }
    unit(tmp_path / "tiles" / "a", {"of": "a"}, "E_IO")
    seen.add(key())
    unit(tmp_path / "network", {"of": "another"})
    seen.add(key())
    assert len(seen) == 6
