"""The rows that scores of linear probes become: every layer's AUROC, and what training gained."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from workflow.lib.clusters.linear_probes import Probe, pool_slides
from workflow.lib.jobs.tables import NOT_DEFINED, metric_row
from workflow.lib.measures.bootstrap import Measured, measure
from workflow.lib.measures.label_metrics import macro_ranking


def probe_rows(
    scores: Mapping[Probe, np.ndarray],
    slides: np.ndarray,
    *,
    labels: np.ndarray,
    patients: Sequence[str],
    clustering: str,
    positive: int | None,
    replicates: int,
    seed: int,
) -> Iterator[dict]:
    """Rows of a metrics table for tiles and for slides, all folds together.

    scores: probe -> (N, C) class probabilities of tested tiles, layers of a network shallow to
    deep; slides: (N,) int slide of a tile; labels: (S,) int; patients: S names; positive: see
    label_metrics.macro_ranking.

    auroc has an interval over patients; of random networks it is the mean over their seeds, and
    auroc_min and auroc_max are the lowest and the highest seed. auroc_gain is what training adds
    to the last layer over `start` and over `random`: the layer is fixed before anything is
    measured, and both networks are measured on the same draws of patients.
    """
    shown, labels = np.unique(slides), np.asarray(labels)
    names, columns = np.unique(np.asarray(patients, str)[shown], return_inverse=True)
    groups, gains = _groups(scores, clustering)
    draws = {"positive": positive, "patients": len(names), "replicates": replicates, "seed": seed}
    of_slides = {p: pool_slides(s, slides, count=len(labels))[0] for p, s in scores.items()}
    places = np.searchsorted(shown, slides)
    levels = {"tile": (scores, places), "image": (of_slides, np.arange(len(shown)))}
    for level, (found, items) in levels.items():
        about = {"fold": "all", "level": level, "n": len(shown)}
        values = _measure(found, labels[shown][items], columns[items], groups, gains, **draws)
        for (metric, method), value in values.items():
            yield metric_row(metric, *value, **about, method=method)


def _groups(
    scores: Iterable[Probe], clustering: str
) -> tuple[dict[str, list[Probe]], dict[str, tuple[str, str]]]:
    """Method -> its probes, which are several where seeds are; gain -> the methods it parts."""
    titles = {"trained": clustering, "start": "start", "random": "random"}
    groups: dict[str, list[Probe]] = {}
    for probe in scores:
        groups.setdefault(f"probe {titles[probe.network]} {probe.layer}", []).append(probe)
    gains = {}
    for layer in [probe.layer for probe in scores if probe.network == "trained"][-1:]:
        for other in ("start", "random"):
            if (base := f"probe {other} {layer}") in groups:
                title = f"probe {clustering} over {other} {layer}"
                gains[title] = (f"probe {clustering} {layer}", base)
    return groups, gains


def _measure(
    scores: Mapping[Probe, np.ndarray],
    labels: np.ndarray,
    columns: np.ndarray,
    groups: Mapping[str, Sequence[Probe]],
    gains: Mapping[str, tuple[str, str]],
    *,
    positive: int | None,
    patients: int,
    replicates: int,
    seed: int,
) -> dict[tuple[str, str], Measured]:
    """(metric, method) -> value and interval; columns: (N,) int patient of an item."""

    def ranked(weights: np.ndarray) -> dict[Probe, np.ndarray]:
        return {
            probe: macro_ranking(values, labels, weights, columns, positive=positive)[0]
            for probe, values in scores.items()
        }

    def metrics(weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        each = ranked(weights)
        values = {name: np.mean([each[p] for p in own], axis=0) for name, own in groups.items()}
        found = {("auroc", name): value for name, value in values.items()}
        return found | {("auroc_gain", n): values[a] - values[b] for n, (a, b) in gains.items()}

    measured = measure(metrics, patients=patients, replicates=replicates, seed=seed)
    whole = ranked(np.ones((1, patients)))
    for name, own in groups.items():
        if own[0].network == "random":
            starts = [float(whole[probe][0]) for probe in own]
            measured["auroc_min", name] = (min(starts), NOT_DEFINED)
            measured["auroc_max", name] = (max(starts), NOT_DEFINED)
    return measured
