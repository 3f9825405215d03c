"""What is asked of the clusters of a fold: do they follow labels, sites, patients?"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from workflow.lib.clusters.enrichment import (
    enrich,
    guess_sites,
    mean_recall,
    recall_patients,
    tabulate,
    with_several_patients,
)
from workflow.lib.jobs.tables import NOT_DEFINED
from workflow.lib.measures.bootstrap import Measured, measure
from workflow.lib.measures.label_metrics import clusters_against_labels

ENRICHMENT = ("fold", "cluster", "of", "name", "tiles", "patients", "share", "expected")
ENRICHMENT += ("log2_enrichment", "low", "high")
BLOCK = 1 << 22  # cells of weighted tables held at once: memory does not grow with replicates
Answer = Callable[[np.ndarray], dict[str, np.ndarray]]  # weights (B, P) -> values (B,) by name

# Constants; and NMI with patients, which changes with how many different ones a replicate draws.
WITHOUT_INTERVAL = ("site_chance", "patient_chance", "nmi_patient")


class Assigned(NamedTuple):
    """A slide with tiles: counts (K,) of its readable tiles by cluster.

    label: "" where the slide has none, or is not tested in the fold; site: "" where unknown
    """

    slide: str
    patient: str
    label: str
    site: str
    counts: np.ndarray


def answers(
    folds: Sequence[Sequence[Assigned]], *, replicates: int, seed: int
) -> Iterator[tuple[str, Measured, int]]:
    """Metric, value with its interval over patients, and number of slides; the mean over folds.

    nmi, ari, purity, chance_purity: agreement with labels (label_metrics.clusters_against_labels)
    nmi_site, nmi_patient: the same NMI with sites and with patients
    site_accuracy: mean over sites of the share of slides whose site their clusters give away
    (enrichment.guess_sites), where two sites have two patients each; chance: site_chance
    patient_accuracy: mean over patients of enrichment.recall_patients; chance: patient_chance
    What cannot be asked of a fold (no labels, one site) is left out; NaN where it is undefined.
    """
    for choose, ask in QUESTIONS:
        parts = [part for part in map(choose, folds) if part]
        if not parts:
            continue
        patients = sorted({slide.patient for part in parts for slide in part})
        asked = [ask(part, patients, seed) for part in parts]

        def mean(weights: np.ndarray, asked: list[Answer] = asked) -> dict[str, np.ndarray]:
            found = [each(weights) for each in asked]
            return {name: np.mean([values[name] for values in found], axis=0) for name in found[0]}

        n = len({slide.slide for part in parts for slide in part})
        measured = measure(mean, patients=len(patients), replicates=replicates, seed=seed)
        for name, (value, interval) in measured.items():
            yield name, (value, NOT_DEFINED if name in WITHOUT_INTERVAL else interval), n


def enriched(slides: Sequence[Assigned], *, replicates: int, seed: int) -> Iterator[dict]:
    """Rows of the table of enrichment: labels of tested slides, then sites and patients of all.

    Names of one kind only, where there is nothing to compare, are left out, and so are patients
    without a tile in the cluster. Patients have no interval: it would resample what is compared.
    """
    for of in ("label", "site", "patient"):
        chosen = _named(slides, of)
        if not chosen:
            continue
        if of == "patient":  # by patient, this table would be empty but for its diagonal
            names, table, draws = *_sum_up(chosen), 0
        else:
            patients = sorted({slide.patient for slide in chosen})
            names, table, draws = *_tabulate(chosen, patients, of), replicates
        for row in enrich(table, replicates=draws, seed=seed):
            if of != "patient" or row.tiles:
                cells = (row.cluster, of, names[row.name], row.tiles, row.patients, row.share)
                cells += (row.expected, row.log2, *row.interval)
                yield dict(zip(ENRICHMENT[1:], cells, strict=True))


def _named(slides: Sequence[Assigned], of: str) -> list[Assigned]:
    """The slides that have a label, a site or a patient, if these are two different ones."""
    found = [slide for slide in slides if getattr(slide, of)]
    return found if len({getattr(slide, of) for slide in found}) > 1 else []


def _labelled(slides: Sequence[Assigned]) -> list[Assigned]:
    return [slide for slide in slides if slide.label]


def _of_sites(slides: Sequence[Assigned]) -> list[Assigned]:
    return _named(slides, "site")


def _of_patients(slides: Sequence[Assigned]) -> list[Assigned]:
    return _named(slides, "patient")


def _of_large_sites(slides: Sequence[Assigned]) -> list[Assigned]:
    found = _of_sites(slides)
    sites, patients = (np.array([getattr(s, of) for s in found]) for of in ("site", "patient"))
    kept = with_several_patients(sites, patients)
    return _of_sites([slide for slide, each in zip(found, kept, strict=True) if each])


def _tabulate(
    slides: Sequence[Assigned], patients: Sequence[str], of: str
) -> tuple[list[str], np.ndarray]:
    """The names that occur, sorted, and tiles (P, K, C) by patient, cluster and name."""
    names, columns = _index(slides, of)
    counts = np.stack([slide.counts for slide in slides])
    rows = _places(slides, patients)
    return names, tabulate(counts, rows, columns, shape=(len(patients), len(names)))


def _sum_up(slides: Sequence[Assigned]) -> tuple[list[str], np.ndarray]:
    """The patients, sorted, and tiles (1, K, C) by cluster and patient."""
    names, columns = _index(slides, "patient")
    counts = np.stack([slide.counts for slide in slides])
    return names, tabulate(counts, np.zeros(len(slides), int), columns, shape=(1, len(names)))


def _index(slides: Sequence[Assigned], of: str) -> tuple[list[str], np.ndarray]:
    names, columns = np.unique([getattr(slide, of) for slide in slides], return_inverse=True)
    return names.tolist(), columns


def _places(slides: Sequence[Assigned], patients: Sequence[str]) -> np.ndarray:
    return np.searchsorted(patients, [slide.patient for slide in slides])


def _ask_labels(slides: Sequence[Assigned], patients: Sequence[str], seed: int) -> Answer:
    _, table = _tabulate(slides, patients, "label")
    return lambda weights: _agreement(weights, table)


def _ask_sites(slides: Sequence[Assigned], patients: Sequence[str], seed: int) -> Answer:
    _, table = _tabulate(slides, patients, "site")

    def answer(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"nmi_site": _agreement(weights, table)["nmi"]}

    return answer


def _agreement(weights: np.ndarray, table: np.ndarray) -> dict[str, np.ndarray]:
    """clusters_against_labels of every row of weights (B, P), by tiles (P, K, C) by patient."""
    step = max(1, BLOCK // table[0].size)
    each = table.astype(np.float64)  # whole numbers still, which BLAS adds up faster
    parts = [
        clusters_against_labels(np.tensordot(weights[start : start + step].astype(float), each, 1))
        for start in range(0, len(weights), step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _guess_sites(slides: Sequence[Assigned], patients: Sequence[str], seed: int) -> Answer:
    names, sites = _index(slides, "site")
    rows, counts = _places(slides, patients), np.stack([slide.counts for slide in slides])
    cells = np.zeros((len(patients), len(names), len(names)))
    np.add.at(cells, (rows, sites), guess_sites(counts, rows, sites))

    def answer(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = mean_recall(np.tensordot(weights, cells, 1))
        return {"site_accuracy": found, "site_chance": np.full(len(weights), 1 / len(names))}

    return answer


def _guess_patients(slides: Sequence[Assigned], patients: Sequence[str], seed: int) -> Answer:
    names, table = _sum_up(slides)
    own = np.searchsorted(names, [slide.patient for slide in slides])
    counts = np.stack([slide.counts for slide in slides])
    recall = recall_patients(counts, own, seed=seed)
    columns = np.searchsorted(patients, names)

    def answer(weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn = weights[:, columns]
        with np.errstate(invalid="ignore"):
            accuracy = drawn @ recall / drawn.sum(1)
        same = np.ones(len(weights))
        nmi = float(clusters_against_labels(table[0])["nmi"])
        chance = 1 / len(names)
        return {
            "nmi_patient": nmi * same,
            "patient_accuracy": accuracy,
            "patient_chance": chance * same,
        }

    return answer


QUESTIONS = (
    (_labelled, _ask_labels),
    (_of_sites, _ask_sites),
    (_of_large_sites, _guess_sites),
    (_of_patients, _guess_patients),
)
