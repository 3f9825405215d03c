"""What else clusters follow than tissue: who the patient is, and where the slide was made.

A cluster of a single hospital's slides may be a stain or a scanner, and a cluster of a single
patient's tiles tells nothing of the next one. The questions are asked of tile counts: slides (S)
by cluster (K). They are about the clusters, not about slides never seen.
"""

from dataclasses import dataclass

import numpy as np

from workflow.lib.measures.bootstrap import interval, resample

PSEUDO = 0.5  # tiles added to both sides of a ratio, so that none is infinite
ROUNDS = 20  # patients of a site that are left out in turn
TIE = 1e-9  # of log likelihoods: less apart is equal, in whatever order they were summed


@dataclass(frozen=True)
class Enrichment:
    """One name (a label, a site, a patient) in one cluster, as indices `cluster` and `name`.

    tiles, patients: that are in the cluster under this name
    share: of the cluster's tiles, NaN in a cluster without any; expected: of all tiles
    log2: of (tiles + 0.5) / (tiles expected + 0.5), where share = expected gives 0
    interval: of log2, over patients
    """

    cluster: int
    name: int
    tiles: int
    patients: int
    share: float
    expected: float
    log2: float
    interval: tuple[float, float]


def tabulate(
    counts: np.ndarray, patients: np.ndarray, names: np.ndarray, *, shape: tuple[int, int]
) -> np.ndarray:
    """Tiles (P, K, C) int64 by patient, cluster and name, from counts (S, K) of slides.

    patients, names: (S,) int, one patient and one name a slide; shape: P and C.
    """
    table = np.zeros((shape[0], counts.shape[1], shape[1]), np.int64)
    for slide, (patient, name) in enumerate(zip(patients, names, strict=True)):
        table[patient, :, name] += counts[slide]
    return table


def with_several_patients(sites: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Which slides (S,) bool are of a site that has slides of two patients at least."""
    several = [site for site in np.unique(sites) if len(np.unique(patients[sites == site])) > 1]
    return np.isin(sites, several)


def guess_sites(counts: np.ndarray, patients: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """The site that its clusters say a slide is of: (S, G), rows add up to 1, ties share the guess.

    counts: (S, K); patients, sites: (S,) int, sites 0 .. G - 1, each with two patients at least.
    Multinomial naive Bayes with one tile added to every cluster of a site (Laplace) and all sites
    equally likely beforehand. A slide is judged by the slides of the other patients only. A site
    with a patient less is known less well, so one is left out of every other site too: each of them
    in turn, up to ROUNDS, and the guesses are averaged. Without, sites that are alike would be
    guessed less often than by chance.
    """
    members = [np.unique(patients[sites == site]) for site in range(int(sites.max()) + 1)]
    tiles = [
        np.stack([counts[(sites == site) & (patients == patient)].sum(0) for patient in those])
        for site, those in enumerate(members)
    ]
    wholes = [each.sum(0) for each in tiles]
    guesses = np.zeros((len(counts), len(members)))
    for patient in np.unique(patients):
        own = patients == patient
        turns = [
            np.flatnonzero(those == patient) if patient in those else np.arange(len(those))
            for those in members
        ]
        rounds = min(ROUNDS, max(map(len, turns)))
        for number in range(rounds):
            left = [each[turn[number % len(turn)]] for each, turn in zip(tiles, turns, strict=True)]
            others = np.stack(wholes) - np.stack(left)
            guesses[own] += _share(counts[own] @ _log_likelihood(others).T) / rounds
    return guesses


def recall_patients(counts: np.ndarray, patients: np.ndarray, *, seed: int) -> np.ndarray:
    """Share (P,) of a patient's tiles whose cluster gives the patient away; ties share the guess.

    counts: (S, K); patients: (S,) int 0 .. P - 1, all with tiles. A random half of the tiles of
    every slide (the smaller one, when they are odd) says how likely each cluster is in each
    patient, one tile added to every cluster; a tile of the other half is of the likeliest patient.
    """
    rng = np.random.default_rng(seed)
    learnt = np.array([rng.multivariate_hypergeometric(row, row.sum() // 2) for row in counts])
    halves = np.zeros((2, int(patients.max()) + 1, counts.shape[1]), np.int64)
    np.add.at(halves[0], patients, learnt)
    np.add.at(halves[1], patients, counts - learnt)
    right = _share(_log_likelihood(halves[0]).T).T  # (P, K): of a cluster's guess, by patient
    return (halves[1] * right).sum(1) / halves[1].sum(1)


def mean_recall(cells: np.ndarray) -> np.ndarray:
    """Mean over rows of the diagonal's share of its row, of tables (..., G, G).

    NaN where a row is empty: a mean over fewer sites has another chance level.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.diagonal(cells, axis1=-2, axis2=-1) / cells.sum(-1)).mean(-1)


def enrich(table: np.ndarray, *, replicates: int, seed: int) -> list[Enrichment]:
    """Every name in every cluster, in this order, from tiles (P, K, C) by patient.

    The interval is over patients, and undefined (bootstrap.interval) without replicates, or where
    a name or a cluster is gone in half of them.
    """
    weights = resample(len(table), replicates=replicates, seed=seed)
    by_name = table.sum(1)
    expected = by_name.sum(0) / max(1, by_name.sum())
    drawn_names = weights @ by_name
    rows = []
    for cluster in range(table.shape[1]):
        own = table[:, cluster]
        whole, drawn = own.sum(0), weights @ own
        ratios = _log2_ratio(drawn, drawn_names)
        log2 = _log2_ratio(whole[None], by_name.sum(0)[None])[0]
        for name, tiles in enumerate(whole):
            value = float(log2[name])
            rows.append(
                Enrichment(
                    cluster,
                    name,
                    tiles=int(tiles),
                    patients=int((own[:, name] > 0).sum()),
                    share=float(tiles / whole.sum()) if whole.sum() else float("nan"),
                    expected=float(expected[name]),
                    log2=value,
                    interval=interval(ratios[:, name], value, patients=len(table)),
                )
            )
    return rows


def _log2_ratio(tiles: np.ndarray, of_name: np.ndarray) -> np.ndarray:
    """Tiles over those expected, (B, C), from a cluster's tiles and all tiles; NaN without any."""
    of_cluster, every = tiles.sum(1, keepdims=True), of_name.sum(1, keepdims=True)
    expected = of_name * of_cluster / np.maximum(every, 1)
    return np.where(expected > 0, np.log2((tiles + PSEUDO) / (expected + PSEUDO)), np.nan)


def _log_likelihood(counts: np.ndarray) -> np.ndarray:
    """Log of the Laplace-smoothed share of each cluster, rows (G, K) of tile counts."""
    return np.log((counts + 1) / (counts.sum(1, keepdims=True) + counts.shape[1]))


def _share(scores: np.ndarray) -> np.ndarray:
    """1 for the highest score of a row, shared equally among equal ones."""
    best = scores >= scores.max(1, keepdims=True) - TIE * np.maximum(1, np.abs(scores).max())
    return best / best.sum(1, keepdims=True)
