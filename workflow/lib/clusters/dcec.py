"""DCEC: an autoencoder whose code is sharpened into clusters while it goes on reconstructing.

Guo et al., "Deep clustering with convolutional autoencoders", ICONIP 2017.
Tiles are learnt from as they are: as published, nothing is flipped, turned or recoloured.
"""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from workflow.lib.clusters import soft_clusters
from workflow.lib.clusters.autoencoders import Autoencoder
from workflow.lib.clusters.clusters import by_size
from workflow.lib.clusters.monitors import Watched
from workflow.lib.clusters.pseudo_labels import changed
from workflow.lib.networks import resuming
from workflow.lib.networks.fitting import derive_seed, within_memory
from workflow.lib.tiles.bags import TileBag
from workflow.lib.tiles.inference import embed_rows, read_ahead, to_input

log = logging.getLogger(__name__)

# Adam's first steps change every weight by the whole rate, however small the gradient, and a dense
# layer adds thousands of such changes up: at the rate of pretraining all codes leave their
# centroids together in a few steps and never part again (seen with codes of 64 numbers).
JOINT_PACE = 0.1


@dataclass(kw_only=True)
class Course:
    """What an autoencoder learns from, and how; beneath it, what changes on the way.

    rows: (N,) int64, the tiles of `bag` to learn from
    watched: the labelled tiles that a linear probe is fitted to and scored on, or None
    learning_rate: of Adam while pretraining, a tenth of it afterwards
    gamma: weight of KL(P || Q) beside the reconstruction
    centroids: (K, E), they learn too; target: (N, K); aimed, ids: clusters (N,) when the target
        was last renewed and after the last epoch; all None while pretraining
    steps: since the centroids began to learn
    """

    model: Autoencoder
    bag: TileBag
    rows: np.ndarray
    watched: Watched | None
    batch_size: int
    learning_rate: float
    gamma: float
    seed: int
    device: torch.device

    def __post_init__(self) -> None:
        self.model.to(self.device, memory_format=torch.channels_last)
        self.centroids = self.target = self.aimed = self.ids = None
        self.steps = 0
        self._codes: np.ndarray | None = None  # of `rows`, until the next step
        self._new_optimiser()

    def epoch(self, number: int, *, every: int, tolerance: float) -> tuple[float, float | None]:
        """One pass over the tiles: its mean loss, and the share of tiles that ended it early.

        Once there is a target it is renewed every `every` steps. The pass ends where less than
        the share `tolerance` of the tiles changed their cluster since the last; else that is None.
        """
        generator = torch.Generator().manual_seed(derive_seed(self.seed, number, 0))
        batches = torch.randperm(len(self.rows), generator=generator).split(self.batch_size)
        total = tiles = 0
        steps = read_ahead(lambda places: self.bag.read(self.rows[places.numpy()]), batches)
        for places, pixels in steps:
            total += self.step(places, pixels) * len(places)
            tiles += len(places)
            if self.target is not None and self.steps % every == 0:
                moved = self.aim()
                if moved < tolerance:
                    return total / tiles, moved
        return total / tiles, None

    def step(self, places: torch.Tensor, pixels: np.ndarray) -> float:
        """Learn from the tiles `rows[places]` (B,), pixels (B, t, t, 3) uint8: the loss before."""
        small = self.model.shrink(to_input(pixels, self.device))
        codes = self.model.encode(small)
        loss = functional.mse_loss(self.model.decode(codes), small)
        if self.target is not None:
            p = self.target[places].to(self.device)
            q = soft_clusters.soft_assignment(codes, self.centroids)
            loss = loss + self.gamma * soft_clusters.divergence(p, q)
            self.steps += 1
        self._check_finite(loss.item(), self.rows[places.numpy()])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self._codes = None
        return loss.item()

    def begin(self, count: int) -> None:
        """End pretraining: centroids where k-means finds them, and the first target."""
        centroids = soft_clusters.start_centroids(self.codes(), count=count, seed=self.seed)
        self.centroids = nn.Parameter(torch.from_numpy(centroids).to(self.device))
        self._new_optimiser()  # as published: it remembers nothing of pretraining
        self.aim()
        self.ids = self.aimed

    def aim(self) -> float:
        """Renew the target; the share of tiles whose cluster is not that of the last target."""
        q = soft_clusters.soft_assignments(self.codes(), self.centroids)
        before, self.aimed = self.aimed, q.argmax(dim=1)
        self.target = soft_clusters.sharpen(q)
        return 1.0 if before is None else float((self.aimed != before).double().mean())

    def measure(self) -> dict:
        """kmeans_loss, nmi, churn and probe after an epoch; None what there is not."""
        row = {"kmeans_loss": None, "nmi": None, "churn": None}
        if self.centroids is not None:
            before, q = self.ids, soft_clusters.soft_assignments(self.codes(), self.centroids)
            self.ids = q.argmax(dim=1)
            row = {"kmeans_loss": self.distance(), **changed(before.numpy(), self.ids.numpy())}
        return row | {"probe": None if self.watched is None else self._probe()}

    def distance(self) -> float:
        """Mean squared distance of the codes to the centroids of their clusters."""
        nearest = self.centroids.detach().cpu().numpy()[self.ids.numpy()]
        return float(np.square(self.codes() - nearest).sum(axis=1).mean(dtype=np.float64))

    def codes(self) -> np.ndarray:
        """Codes (N, E) float32 of the tiles to learn from, by the network as it is."""
        if self._codes is None:
            self._codes = self._embed(self.rows)
        return self._codes

    def state(self) -> dict:
        """What a checkpoint holds."""
        learnt = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        centroids = None if self.centroids is None else self.centroids.detach()
        names = ("target", "aimed", "ids", "steps")
        return learnt | {"centroids": centroids} | {name: getattr(self, name) for name in names}

    def resume(self, state: dict) -> None:
        """Go on from what `state` gave."""
        if (centroids := state.pop("centroids")) is not None:
            self.centroids = nn.Parameter(centroids.to(self.device))
            self._new_optimiser()
        self.model.load_state_dict(state.pop("model"))
        self.optimiser.load_state_dict(state.pop("optimiser"))
        for name, value in state.items():
            setattr(self, name, value)

    def _new_optimiser(self) -> None:
        parameters, rate = [*self.model.parameters()], self.learning_rate
        if self.centroids is not None:
            parameters, rate = [*parameters, self.centroids], JOINT_PACE * rate
        self.optimiser = torch.optim.Adam(parameters, lr=rate)

    def _embed(self, rows: np.ndarray) -> np.ndarray:
        size = {"dim": self.model.dim, "batch": self.batch_size, "device": self.device}
        codes = embed_rows(self.model.embed, self.bag.read, rows, **size)
        broken = ~np.isfinite(codes).all(axis=1)
        self._check_finite(float(codes[broken].sum()), rows[broken])
        return codes

    def _probe(self) -> float:
        """The probe, with only those tiles encoded whose codes are not there already."""
        others = np.setdiff1d(self.watched.rows, self.rows)
        known = np.concatenate([self.rows, others])
        order = np.argsort(known)
        places = order[np.searchsorted(known, self.watched.rows, sorter=order)]
        return self.watched.probe(np.concatenate([self.codes(), self._embed(others)])[places])

    def _check_finite(self, value: float, rows: np.ndarray) -> None:
        if not math.isfinite(value):
            names = ", ".join(self.bag.names(rows))
            said = f"E_NUMBER: The autoencoder gives {value} on tiles of {names}; look at these"
            raise ValueError(f"{said} slides, or lower train_dcec.learning_rate")


@within_memory()
def train(
    course: Course,
    *,
    count: int,
    pretrain_epochs: int,
    epochs: int,
    update_every: int,
    tolerance: float,
    work: Path,
    key: str,
) -> dict:
    """Train `course.model` in place, and tell how it went.

    `pretrain_epochs` passes that only reconstruct (mean squared error), then k-means on the codes,
    then up to `epochs` passes on reconstruction + gamma * KL(P || Q). The target P is renewed from
    all tiles every `update_every` steps, or once an epoch where that has fewer. It stops when less
    than the share `tolerance` of the tiles changed their cluster between two targets. The weights
    of the last step are kept.

    `work` is a folder for the checkpoint after each epoch: a second call with the same `key` goes
    on from there, bitwise as if it had not stopped (on a CPU with the same number of threads).

    Tiles are read by batches. Held are codes (N, E), a copy of them in k-means and in the probe,
    and (N, K) four times when the target is renewed, float32: 64 MB for 100,000 tiles, E 64, K 8.

    Returns "centroids" (K, E) float32, the largest cluster first; "loss", the mean squared
    distance of a code to its centroid; "curves", a row per epoch: epoch, split, loss (all that is
    minimised), kmeans_loss (that distance; None while pretraining), nmi and churn (from the epoch
    before), probe; "best_epoch", the last; "chosen_by"; "stopped_by". K is below `count`, with a
    warning, where fewer codes differ or a cluster lost all its tiles. Raises ValueError, naming
    the slides, when a loss or a code is not finite, and when there is no tile.
    """
    if not len(course.rows):
        raise ValueError("there is no tile to learn from")
    state = resuming.resume(work, key)
    if state is None:
        state = {"key": key, "epoch": 0, "curves": [], "stopped_by": None}
    else:
        course.resume(state.pop("course"))
    every = min(update_every, -(-len(course.rows) // course.batch_size))
    total = pretrain_epochs + epochs
    ahead = range(state["epoch"], 0 if state["stopped_by"] else total)
    for epoch in tqdm(ahead, desc="epochs", disable=None, leave=False):
        if epoch == pretrain_epochs:
            course.begin(count)
        loss, moved = course.epoch(epoch, every=every, tolerance=tolerance)
        if moved is not None:
            share = f"{moved:.2%} of the tiles"
            state["stopped_by"] = f"{share} changed their cluster: they stand still"
        row = {"epoch": epoch + 1, "split": "train", "loss": loss, **course.measure()}
        log.info("Epoch %d of %d: loss %.4f.", epoch + 1, total, loss)
        state |= {"epoch": epoch + 1, "curves": [*state["curves"], row]}
        resuming.save(work, state | {"course": course.state()})
        if state["stopped_by"]:
            break
    course.model.eval()
    began = course.centroids.detach().cpu().numpy()
    centroids = by_size(began, np.bincount(course.ids.numpy(), minlength=len(began)))
    if lost := len(began) - len(centroids):
        log.warning("%d of %d clusters lost all their tiles: left out.", lost, len(began))
    return {
        "centroids": centroids,
        "loss": course.distance(),
        "curves": state["curves"],
        "best_epoch": state["epoch"],
        "chosen_by": "the last epoch, as published",
        "stopped_by": state["stopped_by"] or f"all {total} epochs are done",
    }
