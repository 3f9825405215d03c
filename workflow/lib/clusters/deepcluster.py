"""DeepCluster: a network learns to predict the clusters of its own features, round by round.

Caron, Bojanowski, Joulin & Douze, ECCV 2018. In a round the features of all tiles are whitened
and clustered (lib/clusters/clustering.py), then the network with a new linear head sees as many
tiles as there are, drawn evenly over the clusters, and learns whose they are. Every round is
seeded by (seed, round), so that all the state there is to save is the network's, its optimiser's
and the last assignment.
"""

import copy
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from workflow.lib.clusters import clustering
from workflow.lib.clusters.cluster_networks import ClusterNetwork
from workflow.lib.clusters.clusters import Clusters, assign
from workflow.lib.clusters.monitors import Watched
from workflow.lib.clusters.pseudo_labels import changed, uniform_order, why_to_stop
from workflow.lib.jobs.devices import mixed
from workflow.lib.networks import resuming
from workflow.lib.networks.fitting import derive_seed, full_batches, set_momentum, within_memory
from workflow.lib.tiles.augmentation import augment
from workflow.lib.tiles.bags import TileBag
from workflow.lib.tiles.inference import embed_rows, read_ahead, to_input

log = logging.getLogger(__name__)

MOMENTUM = 0.9
HEAD_DEVIATION = 0.01  # of the weights of a new head
# What a seed of a round is for; those of its batches are derive_seed(seed, round, batch).
CLUSTERS, ORDER, HEAD = 1, 2, 3
LAST = (
    "the last round, because no linear probe could choose: not every class has a training tile and "
    "a validation tile"
)


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a network learns from, and how.

    rows: (N,) int64, the tiles of `bag` to learn from
    watched: the labelled tiles that a linear probe is fitted to and scored on, or None
    pca, iterations: of the clustering into `count` clusters
    passes: over N tiles between two clusterings, all with the same head
    precision: of the training steps, and of the features in between (devices.mixed); on 370 tiles
        bf16 moved none to another centroid. The clusters that are given back are of float32
    batch: tiles per forward pass when nothing is learnt
    """

    network: ClusterNetwork
    bag: TileBag
    rows: np.ndarray
    watched: Watched | None
    count: int
    pca: int
    iterations: int
    passes: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    precision: str
    augmentation: dict
    seed: int
    device: torch.device
    batch: int

    def features(self, rows: np.ndarray, precision: str) -> np.ndarray:
        """Features (M, D) float32 of the tiles `rows` (M,), as they are, in evaluation."""
        self.network.eval()

        def embed(tiles: torch.Tensor) -> torch.Tensor:
            with mixed(self.device, precision):
                return self.network.embed(tiles)

        size = {"dim": self.network.dim, "batch": self.batch, "device": self.device}
        features = embed_rows(embed, self.bag.read, rows, **size)
        broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(broken):
            raise ValueError(
                f"E_NUMBER: The network gives features that are NaN or infinite for {len(broken)} "
                f"of {len(rows)} tiles, of {', '.join(self.bag.names(rows[broken]))}; look at "
                "these slides, lower train_deepcluster.learning_rate, or start from another "
                "checkpoint"
            )
        return features

    def cluster(self, features: np.ndarray, number: int) -> tuple[Clusters, float, np.ndarray]:
        """The clusters of round `number`: what they are, their loss, and of each row its own."""
        found, loss = clustering.fit(
            features,
            clusters=self.count,
            pca=self.pca,
            iterations=self.iterations,
            restarts=1,
            seed=derive_seed(self.seed, number, 0, CLUSTERS) % 2**31,
        )
        if len(found.centroids) < 2:
            raise ValueError(
                f"All {len(features)} tiles look the same to the network in round {number}, so "
                "there is nothing to learn: look at the tiles; if they do differ, lower "
                "train_deepcluster.learning_rate, or start from another checkpoint"
            )
        return found, loss, assign(features, found)[0]

    def study(self, ids: np.ndarray, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Learn the pseudo-labels `ids` (N,) of `rows` with a new head: mean loss of `passes`."""
        dealer = self._generator(number, 0, ORDER)
        orders = [uniform_order(ids, generator=dealer) for _ in range(self.passes)]
        batches = full_batches(torch.cat(orders), self.batch_size)
        head = new_head(self.network.dim, int(ids.max()) + 1, self._generator(number, 0, HEAD))
        head.to(self.device)
        own = torch.optim.SGD(
            head.parameters(),
            lr=self.learning_rate,
            momentum=MOMENTUM,
            weight_decay=self.weight_decay,
        )
        torch.manual_seed(derive_seed(self.seed, number, 0))  # for what is random in the network
        set_momentum(self.network.train(), len(batches))
        labels, total = torch.from_numpy(ids).long(), 0.0
        steps = read_ahead(lambda part: self.bag.read(self.rows[part.numpy()]), batches)
        for step, (part, pixels) in enumerate(steps):
            tiles = augment(
                to_input(pixels, self.device),
                **self.augmentation,
                generator=self._generator(number, step + 1),
            )
            with mixed(self.device, self.precision):
                found = head(self.network.embed(tiles)).float()
            loss = functional.cross_entropy(found, labels[part].to(self.device))
            if not math.isfinite(loss.item()):
                raise ValueError(
                    f"E_NUMBER: The loss is {loss.item()} in round {number}, on tiles of "
                    f"{', '.join(self.bag.names(self.rows[part.numpy()]))}; look at these slides, "
                    "or lower train_deepcluster.learning_rate"
                )
            for each in (optimiser, own):
                each.zero_grad(set_to_none=True)
            loss.backward()
            for each in (optimiser, own):
                each.step()
            total += loss.item()
        return total / len(batches)

    def _generator(self, *parts: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.seed, *parts))


@within_memory()
def learn(course: Course, *, rounds: int, stop: dict, work: Path, key: str) -> dict:
    """Train `course.network` in place, leave it with the weights of the round kept, and tell.

    At most `rounds` rounds; `stop` holds the keywords of `why_to_stop`. Kept is the round with the
    best probe, the last where there is none.

    `work` is a folder for the checkpoint after each round: a second call with the same `key` goes
    on from there, bitwise as if it had not stopped (on a CPU with the same number of threads).

    Returns "clusters" and "loss" of the kept network, "curves" (a row per round), "best_epoch"
    (the round kept), "rounds", "stopped_by", "chosen_by", and "start_probe" of the untrained
    network. Raises ValueError, naming the slides, when a number is not finite, or all tiles alike.
    """
    network, watched = course.network, course.watched
    network.to(course.device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=course.learning_rate,
        momentum=MOMENTUM,
        weight_decay=course.weight_decay,
    )
    state = {"key": key, "round": 0, "ids": None, "curves": [], "best_probe": -math.inf}
    state = resuming.resume(work, key, model=network, optimiser=optimiser) or state
    seen = course.rows if watched is None else np.union1d(course.rows, watched.rows)
    own = np.searchsorted(seen, course.rows)

    def look() -> tuple[np.ndarray, float | None]:
        features = course.features(seen, course.precision)
        return features[own], watched and watched.probe(
            features[np.searchsorted(seen, watched.rows)]
        )

    features, probe = look()
    if not state["round"]:
        state["start_probe"] = probe
    for number in tqdm(range(state["round"] + 1, rounds + 1), desc="rounds", disable=None):
        if why_to_stop(state["curves"], **stop):
            break
        _, kmeans_loss, ids = course.cluster(features, number)
        del features  # before there are new ones
        row = {"epoch": number, "split": "train", "loss": course.study(ids, optimiser, number)}
        moved = {"nmi": None, "churn": None}
        if state["ids"] is not None:
            moved = changed(state["ids"].numpy(), ids)
        features, probe = look()
        row |= {"kmeans_loss": kmeans_loss, **moved, "probe": probe}
        log.info("Round %d of %d: %s.", number, rounds, _sentence(row))
        state |= {"round": number, "ids": torch.from_numpy(ids), "curves": [*state["curves"], row]}
        if probe is None or probe > state["best_probe"]:
            state |= {"best_epoch": number, "best_probe": -math.inf if probe is None else probe}
            state["best"] = copy.deepcopy(network.state_dict())
        learnt = {"model": network.state_dict(), "optimiser": optimiser.state_dict()}
        resuming.save(work, state | learnt)
    network.load_state_dict(state["best"])
    network.eval()
    if state["best_epoch"] < state["round"] or course.precision != "fp32":
        features = course.features(course.rows, "fp32")
    clusters, loss, _ = course.cluster(features, state["best_epoch"] + 1)
    ended = why_to_stop(state["curves"], **stop) or f"all {rounds} rounds are done"
    told = {name: state[name] for name in ("curves", "best_epoch", "start_probe")}
    told |= {"rounds": state["round"], "stopped_by": ended}
    told["chosen_by"] = LAST if watched is None else watched.sentence()
    return {"clusters": clusters, "loss": loss, **told}


def new_head(dim: int, labels: int, generator: torch.Generator) -> nn.Linear:
    """A linear head (labels, dim) of which nothing is learnt yet: N(0, 0.01), bias 0."""
    head = nn.Linear(dim, labels)
    nn.init.normal_(head.weight, 0, HEAD_DEVIATION, generator=generator)
    nn.init.zeros_(head.bias)
    return head


def _sentence(row: dict) -> str:
    words = {"loss": "loss", "kmeans_loss": "k-means loss", "nmi": "NMI", "churn": "churn"}
    words |= {"probe": "AUROC of the probe"}
    return ", ".join(f"{said} {row[k]:.3f}" for k, said in words.items() if row[k] is not None)
