"""DCEC: it finds two textures, stops, resumes bitwise, and refuses what is not a number."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.lib.held import HeldTiles
from workflow.lib.clusters import dcec
from workflow.lib.clusters.autoencoders import Autoencoder
from workflow.lib.clusters.dcec import Course, train
from workflow.lib.clusters.monitors import watch
from workflow.lib.clusters.soft_clusters import sharpen, soft_assignment
from workflow.lib.networks import resuming
from workflow.lib.tiles.bags import TileBag

SIDE = 16
SETTINGS = {"count": 2, "pretrain_epochs": 3, "epochs": 3, "update_every": 140, "tolerance": 0}


pytestmark = pytest.mark.usefixtures("one_thread")


def textures(label, count, seed):
    """Pink noise, striped when `label` is 1."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(150, 220, (count, SIDE, SIDE, 3), dtype=np.uint8)
    tiles[:, ::4] -= 120 * np.uint8(label)
    return tiles


def store(tiles):
    return HeldTiles(tiles)


def two_textures(each=20):
    labels = [0, 1, 0, 1]
    tiles = [store(textures(label, each, seed)) for seed, label in enumerate(labels)]
    return TileBag(["a", "b", "c", "d"], tiles, labels)


def course(bag, **changed):
    learnt = changed.pop("rows", np.arange(len(bag)))
    model = Autoencoder(4, SIDE, tile_px=SIDE, mpp=1.0).untrained(0)
    settings = {"watched": None, "batch_size": 8, "learning_rate": 2e-3, "gamma": 0.1, "seed": 0}
    return Course(
        model=model, bag=bag, rows=learnt, device=torch.device("cpu"), **settings | changed
    )


def learn(made, work, key="k", **changed):
    return train(made, work=work, key=key, **SETTINGS | changed)


def clusters(made, outcome):
    apart = made.codes()[:, None] - outcome["centroids"]
    return np.square(apart).sum(2).argmin(1)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    made = course(two_textures())
    return made, learn(made, tmp_path_factory.mktemp("work"))


def test_it_finds_two_textures(learnt):
    made, outcome = learnt
    ids = clusters(made, outcome)
    table = np.zeros((2, 2))
    np.add.at(table, (ids, made.bag.label.numpy()), 1)
    assert table.max(1).sum() / len(ids) > 0.95
    assert outcome["centroids"].shape == (2, 4) and outcome["centroids"].dtype == np.float32
    nearest = np.square(made.codes() - outcome["centroids"][ids]).sum(1)
    assert outcome["loss"] == pytest.approx(float(nearest.mean()), rel=1e-5)


def test_curves_have_a_row_per_epoch(learnt):
    _, outcome = learnt
    curves = outcome["curves"]
    columns = ["epoch", "split", "loss", "kmeans_loss", "nmi", "churn", "probe"]
    assert all(list(row) == columns and row["split"] == "train" for row in curves)
    assert [row["epoch"] for row in curves] == [1, 2, 3, 4, 5, 6]
    assert all(row["kmeans_loss"] is row["nmi"] is row["churn"] is None for row in curves[:3])
    assert all(row["kmeans_loss"] > 0 and 0 <= row["churn"] <= 1 for row in curves[3:])
    assert curves[2]["loss"] < curves[0]["loss"]
    assert curves[-1]["kmeans_loss"] == outcome["loss"]
    assert (outcome["best_epoch"], outcome["stopped_by"]) == (6, "all 6 epochs are done")


def test_a_step_minimises_reconstruction_and_divergence():
    """The loss by hand, and the centroids move with the network, a tenth as fast as before."""
    made = course(two_textures(4), gamma=0.5)
    made.begin(2)
    places = torch.tensor([3, 0, 9])
    pixels = made.bag.read(places)
    tiles = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        codes = made.model.embed(tiles)
        rebuilt = (made.model.decode(codes) - tiles).square().mean()
        everything = torch.from_numpy(made.bag.read(range(16))).permute(0, 3, 1, 2) / 255
        p = sharpen(soft_assignment(made.model.embed(everything), made.centroids))
        q = soft_assignment(codes, made.centroids)
        kl = functional.kl_div(q.log(), p[places], reduction="none").sum(1).mean()
    before, filters = made.centroids.detach().clone(), made.model.first_filters().clone()
    assert made.step(places, pixels) == pytest.approx(float(rebuilt + 0.5 * kl), rel=1e-4)
    moved = (made.centroids.detach() - before).abs()
    # Adam's first step is as long as its rate, whatever the gradient.
    assert torch.allclose(moved, torch.full_like(moved, 2e-4), rtol=0.1)
    assert not torch.equal(made.model.first_filters(), filters)


def test_pretraining_only_reconstructs():
    made = course(two_textures(4))
    places = torch.arange(5)
    pixels = made.bag.read(places)
    tiles = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = functional.mse_loss(made.model.decode(made.model.embed(tiles)), tiles)
    assert made.step(places, pixels) == pytest.approx(float(expected), rel=1e-5)
    assert made.steps == 0 and made.centroids is None


@pytest.mark.parametrize(("every", "renewed"), [(2, [2, 4, 6]), (4, [3, 6]), (140, [3, 6])])
def test_the_target_is_renewed_after_so_many_steps(tmp_path, monkeypatch, every, renewed):
    """Epochs of three steps: never less often than once in each."""
    made, steps, aim = course(two_textures(6)), [], Course.aim

    def watched_aim(self):
        steps.append(self.steps)
        return aim(self)

    monkeypatch.setattr(Course, "aim", watched_aim)
    learn(made, tmp_path, pretrain_epochs=1, epochs=2, update_every=every)
    assert steps == [0, *renewed]


def test_it_stops_when_the_tiles_stand_still(tmp_path):
    made = course(two_textures())
    outcome = learn(made, tmp_path, epochs=9, tolerance=0.05)
    assert outcome["stopped_by"].endswith("% of the tiles changed their cluster: they stand still")
    assert outcome["best_epoch"] == len(outcome["curves"]) < 12
    again = course(two_textures())
    repeated = learn(again, tmp_path, epochs=9, tolerance=0.05)  # of a training that had ended
    assert np.array_equal(repeated.pop("centroids"), outcome.pop("centroids"))
    assert repeated == outcome


@pytest.mark.parametrize("last", [1, 3, 5])
def test_a_killed_training_goes_on_bitwise(tmp_path, monkeypatch, learnt, last):
    """Killed while pretraining, at its end, and while the clusters are learnt."""
    save = resuming.save

    def killed(work, state):
        save(work, state)
        if state["epoch"] == last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resuming, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            learn(course(two_textures()), tmp_path)
    made, numbers, epoch = course(two_textures()), [], Course.epoch
    monkeypatch.setattr(
        Course,
        "epoch",
        lambda self, number, **rest: numbers.append(number) or epoch(self, number, **rest),
    )
    outcome = learn(made, tmp_path)
    assert numbers == list(range(last, 6))
    expected_course, expected = learnt
    assert np.array_equal(outcome["centroids"], expected["centroids"])
    assert outcome["curves"] == expected["curves"]
    weights, others = made.model.state_dict(), expected_course.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in others)


def test_another_key_starts_anew(tmp_path, learnt):
    learn(course(two_textures(5)), tmp_path, key="other", pretrain_epochs=1, epochs=1)
    assert learn(course(two_textures()), tmp_path)["curves"] == learnt[1]["curves"]


def test_the_probe_reads_training_and_validation_codes(tmp_path):
    """Learnt from a and b only, scored on c and d."""
    bag = two_textures(12)
    sides = np.arange(24), np.arange(24, 48)
    made = course(bag, rows=sides[0], watched=watch(bag, *sides, classes=2, seed=0))
    outcome = learn(made, tmp_path)
    assert outcome["curves"][-1]["probe"] > 0.95
    everything = course(bag)
    everything.model = made.model
    assert outcome["curves"][-1]["probe"] == made.watched.probe(everything.codes())


def test_a_training_that_diverges_names_the_slides(tmp_path):
    with pytest.raises(ValueError, match=r"gives (nan|inf) on tiles of .*[abcd].*learning_rate"):
        learn(course(two_textures(4), learning_rate=1e18), tmp_path)


def test_no_tile_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no tile"):
        learn(course(TileBag([], [], []), rows=np.zeros(0, np.int64)), tmp_path)


def test_identical_tiles_are_one_cluster(tmp_path, caplog):
    bag = TileBag(["a"], [store(textures(0, 1, 0).repeat(11, 0))], [0])
    outcome = learn(course(bag), tmp_path, tolerance=1e-3)
    assert outcome["centroids"].shape == (1, 4) and "1 clusters instead of 2" in caplog.text
    assert outcome["best_epoch"] == 4  # nothing can change its cluster
    assert outcome["loss"] >= 0 and np.isfinite([row["loss"] for row in outcome["curves"]]).all()


def test_fewer_tiles_than_clusters_and_slides_of_one_tile(tmp_path, caplog):
    tiles = [store(textures(label, 1, label)) for label in (0, 1, 0)]
    bag = TileBag(["a", "b", "c"], tiles, [0, 1, 0])
    outcome = learn(course(bag, learning_rate=1e-6), tmp_path, count=8)
    assert 2 <= len(outcome["centroids"]) <= 3 and "clusters instead of 8" in caplog.text
    single = course(two_textures(4), rows=np.array([5]))
    assert len(learn(single, tmp_path / "single", count=8)["centroids"]) == 1


def test_a_cluster_without_tiles_is_left_out(tmp_path, monkeypatch, caplog):
    start = dcec.soft_clusters.start_centroids

    def with_one_far_away(codes, **settings):
        found = start(codes, **settings)
        return np.concatenate([np.full((1, 4), 1e3, np.float32), found])

    monkeypatch.setattr(dcec.soft_clusters, "start_centroids", with_one_far_away)
    made = course(two_textures())
    outcome = learn(made, tmp_path, epochs=1)
    assert len(outcome["centroids"]) == 2 and "1 of 3 clusters lost all" in caplog.text
    sizes = np.bincount(clusters(made, outcome))
    assert sizes[0] >= sizes[1] > 0 and np.abs(outcome["centroids"]).max() < 100
