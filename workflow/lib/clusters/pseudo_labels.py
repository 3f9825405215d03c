"""Assignments as targets: how they are drawn from, how much they change, when to stop."""

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching


def uniform_order(ids: np.ndarray, *, generator: torch.Generator) -> torch.Tensor:
    """A round of N rows in which every pseudo-label of `ids` (N,) comes about equally often.

    Of each of the n labels that have a row, N // n + 1 are drawn: without replacement where there
    are as many, else with. They are shuffled and cut to N (DeepCluster's uniform sampler).
    """
    share = len(ids) // len(np.unique(ids)) + 1
    drawn = []
    for label in np.unique(ids):
        rows = torch.from_numpy(np.flatnonzero(ids == label))
        if len(rows) < share:
            chosen = torch.randint(len(rows), (share,), generator=generator)
        else:
            chosen = torch.randperm(len(rows), generator=generator)[:share]
        drawn.append(rows[chosen])
    order = torch.cat(drawn)
    return order[torch.randperm(len(order), generator=generator)][: len(ids)]


def changed(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """How two assignments (N,) of the same tiles differ, whatever their clusters are numbered.

    nmi: normalised mutual information (arithmetic mean of the entropies), 1 when both have one
    cluster only; churn: share of tiles that change their cluster when the clusters of both are
    matched so that as few as possible do (Hungarian method).
    """
    # Only pairs of clusters that share a tile are held: a table of 10,000 by 10,000 is 800 MB.
    sides = [np.unique(ids, return_inverse=True)[1] for ids in (before, after)]
    count, other = (int(side.max()) + 1 for side in sides)
    pairs, shared = np.unique(sides[0] * other + sides[1], return_counts=True)
    apart = sum(_entropy(np.bincount(side)) for side in sides)
    nmi = 1.0 if count == other == 1 else 2 * (apart - _entropy(shared)) / apart
    # A matching has to be full, so every cluster may also stay alone, at no gain. Weights of 0
    # would not be edges: all are one higher.
    alone = np.stack([np.arange(count), other + np.arange(count)])
    weights = np.concatenate([shared, np.zeros(count, np.int64)]) + 1
    edges = csr_array((weights, np.concatenate([divmod(pairs, other), alone], axis=1)))
    matched = min_weight_full_bipartite_matching(edges, maximize=True)
    stayed = edges[matched].sum() - count
    return {"nmi": float(nmi), "churn": float(1 - stayed / len(before))}


def why_to_stop(
    curves: list[dict],
    *,
    rounds: int,
    nmi_change: float,
    nmi: float,
    churn: float,
    patience: int,
) -> str | None:
    """Why no further round is worth its time, as a sentence; None while one is.

    curves: a row per round with nmi and churn (None in the first) and probe (None without one).
    Clusters stand still in a round when their NMI with those of the round before differs from the
    one before that by less than `nmi_change`, or is above `nmi`, or when less than the share
    `churn` of the tiles changes its cluster. Stops after `rounds` such rounds in a row, each for
    whichever reason; told are those of the last. Or after `patience` rounds without a better probe.
    """
    still, reasons = 0, []
    for earlier, row in zip([{"nmi": None}, *curves], curves, strict=False):
        reasons = _stillness(row, earlier["nmi"], nmi_change=nmi_change, nmi=nmi, churn=churn)
        still = still + 1 if reasons else 0
    if still >= rounds:
        since = f"{still} rounds: in the last, " if still > 1 else "a round: "
        return f"the clusters stood still for {since}{' and '.join(reasons)}"
    probes = [row["probe"] for row in curves]
    if probes and probes[0] is not None and len(probes) - 1 - int(np.argmax(probes)) >= patience:
        return (
            f"no better linear probe in the {patience} rounds after round {np.argmax(probes) + 1}"
        )
    return None


def _stillness(
    row: dict, before: float | None, *, nmi_change: float, nmi: float, churn: float
) -> list[str]:
    """By what the clusters of a round stand still; nothing where they move, or in the first."""
    if row["nmi"] is None:
        return []
    steady = before is not None and abs(row["nmi"] - before) < nmi_change
    held = {
        f"their NMI with those before no longer changed ({row['nmi']:.2f})": steady,
        f"their NMI with those before was {row['nmi']:.3f}, above {nmi:g}": row["nmi"] > nmi,
        f"only {row['churn']:.1%} of the tiles changed their cluster": row["churn"] < churn,
    }
    return [reason for reason, holds in held.items() if holds]


def _entropy(counts: np.ndarray) -> float:
    """In nats, of a distribution that is given by positive counts."""
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())
