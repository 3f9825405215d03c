"""DeepCluster resumes bitwise, and refuses what cannot be learnt from."""

import math

import numpy as np
import pytest
import torch

from tests.lib.courses import bag, course, equal, network, run, weights
from workflow.lib.clusters.deepcluster import Course
from workflow.lib.networks import resuming
from workflow.lib.tiles.bags import TileBag

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("after", [1, 2])
def test_interrupted_after_any_round_it_ends_the_same(tmp_path, monkeypatch, after, watched):
    whole = course(watched)
    expected = run(whole, tmp_path / "whole")
    rounds, save = [], resuming.save

    def killed(work, state):
        save(work, state)
        rounds.append(state["round"])
        if rounds == list(range(1, after + 1)):
            raise KeyboardInterrupt

    monkeypatch.setattr(resuming, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(course(watched), tmp_path / "parts")
    rest = course(watched)
    found = run(rest, tmp_path / "parts")
    assert rounds == [1, 2, 3]
    assert equal(weights(rest), weights(whole))
    first, second = expected.pop("clusters"), found.pop("clusters")
    assert found == expected
    assert all(np.array_equal(a, getattr(second, name)) for name, a in vars(first).items())


def test_killed_within_a_round_it_ends_the_same(tmp_path, monkeypatch):
    whole = course()
    run(whole, tmp_path / "whole")
    reads, read = [], TileBag.read

    def killed(self, indices):
        reads.append(len(indices))
        if len(reads) == 14:
            raise KeyboardInterrupt
        return read(self, indices)

    monkeypatch.setattr(TileBag, "read", killed)
    with pytest.raises(KeyboardInterrupt):
        run(course(), tmp_path / "parts")
    assert (tmp_path / "parts" / "checkpoint.pt").is_file()
    rest = course()
    run(rest, tmp_path / "parts")
    assert equal(weights(rest), weights(whole))


def test_what_was_finished_is_not_done_again(tmp_path, monkeypatch):
    whole = course()
    expected = run(whole, tmp_path)
    monkeypatch.setattr(Course, "study", None)
    again = course()
    found = run(again, tmp_path)
    assert found["curves"] == expected["curves"] and equal(weights(again), weights(whole))


def test_another_key_starts_anew(tmp_path):
    expected = run(course(), tmp_path)
    found = run(course(learning_rate=0.01), tmp_path, key="another")
    assert found["curves"][0]["loss"] != expected["curves"][0]["loss"]
    assert len(found["curves"]) == 3


def test_of_few_tiles_each_is_a_cluster(tmp_path):
    made = course(watched=False, made=bag((2, 1)), count=5, network=network("squeezenet1_1"))
    found = run(made, tmp_path, rounds=2)
    assert 2 <= len(found["clusters"].centroids) <= 3 and found["rounds"] == 2


def test_tiles_that_are_all_the_same_are_refused(tmp_path):
    made = bag((4, 5))
    for store in made.stores:
        store.tiles[:] = 200
    with pytest.raises(
        ValueError, match="All 9 tiles look the same.*in round 1.*look at the tiles"
    ):
        run(course(watched=False, made=made), tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_loss_that_is_no_number_names_the_slides(tmp_path):
    made = course(learning_rate=1e30)
    with pytest.raises(ValueError, match=r"of s\d.*lower train_deepcluster.learning_rate"):
        run(made, tmp_path)


def test_features_that_are_no_numbers_name_their_slides(tmp_path):
    made = course()
    broken = next(made.network.backbone.parameters())
    with torch.no_grad():
        broken[0, 0, 0, 0] = math.nan
    with pytest.raises(
        ValueError, match="NaN or infinite for 30 of 30 tiles, of s0, s1, s2, s3, s4"
    ):
        run(made, tmp_path)
