"""Assignments as targets: how they are drawn from, how much they change, when to stop."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from workflow.lib.label_metrics import clusters_against_labels

SETTLED = 0.95  # NMI of two assignments in a row above which nothing more can be expected


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
    table = np.zeros((before.max() + 1, after.max() + 1), np.int64)
    np.add.at(table, (before, after), 1)
    stayed = table[linear_sum_assignment(table, maximize=True)].sum()
    single = (table.sum(0) > 0).sum() == (table.sum(1) > 0).sum() == 1
    # The measure is symmetric, but undefined where the second assignment has one cluster.
    nmi = 1.0 if single else float(np.nanmax([_nmi(table), _nmi(table.T)]))
    return {"nmi": nmi, "churn": float(1 - stayed / len(before))}


def why_to_stop(
    curves: list[dict], *, rounds: int, nmi_change: float, churn: float, patience: int
) -> str | None:
    """Why no further round is worth its time, as a sentence; None while one is.

    curves: a row per round with nmi and churn (None in the first) and probe (None without one).
    Clusters stand still in a round when their NMI with those of the round before differs from the
    one before that by less than `nmi_change`, or is above 0.95, or when less than the share
    `churn` of the tiles changes its cluster. Stops after `rounds` such rounds in a row, or after
    `patience` rounds without a better probe.
    """
    still = 0
    for earlier, row in zip([{"nmi": None}, *curves], curves, strict=False):
        moved = row["nmi"] is None or not (
            row["nmi"] > SETTLED
            or row["churn"] < churn
            or (earlier["nmi"] is not None and abs(row["nmi"] - earlier["nmi"]) < nmi_change)
        )
        still = 0 if moved else still + 1
    if still >= rounds:
        last = curves[-1]
        return (
            f"the clusters stood still for {still} rounds: in the last, NMI {last['nmi']:.2f} and "
            f"{last['churn']:.1%} of the tiles changed their cluster"
        )
    probes = [row["probe"] for row in curves]
    if probes and probes[0] is not None and len(probes) - 1 - int(np.argmax(probes)) >= patience:
        return (
            f"no better linear probe in the {patience} rounds after round {np.argmax(probes) + 1}"
        )
    return None


def _nmi(table: np.ndarray) -> float:
    return float(clusters_against_labels(table)["nmi"])
