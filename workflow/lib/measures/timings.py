"""What a method costs, an image and to train, from the records that jobs leave beside logs."""

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from workflow.lib.jobs.names import SPREADING, UNLEARNT, UNRELATED

Times = Mapping[tuple[str, ...], Mapping[str, float]]  # rule and parts of its key -> unit -> s


@dataclass(frozen=True)
class Cost:
    """What was measured of a method; None, and no images, where nothing was.

    seconds   s an image, the median over `images`, how many were measured
    training  s a fold, the mean over the folds; 0 where there is nothing to train
    devices   what it ran on, as torch calls it
    """

    seconds: float | None = None
    images: int = 0
    training: float | None = None
    devices: tuple[str, ...] = ()


def measure(
    records: Iterable[Mapping],
    tested: Mapping[str, str],
    *,
    cams: Mapping[str, str],
    mixed: Collection[str] = (),
) -> dict[str, Cost]:
    """Method -> what it costs.

    records: of jobs: rule, key, device, unit_seconds. tested: slide -> the fold that tests it.
    cams: method -> the method of the maps that it shows or builds on. mixed: methods that have a
    share of the maps that they learnt from (refine_masks.evidence_share).

    An image begins with its tiles and ends with its stitched heatmap: the map of where the
    classifier looks, and that of glands behind it, if the method reads it, the refinement, the
    stitching. The median leaves out
    what a job does once, with its first image: loading the networks and warming up. An image counts
    only if all of its way was measured. Training is that of the classifier and of the decoder; one
    that was continued after an interruption counts from there.
    """
    records = list(records)
    times = _gather(records)
    read = {m: cam for m, cam in cams.items() if m in SPREADING or m in mixed}
    return {m: _cost(m, read.get(m), records, times, tested) for m in cams}


def _cost(
    method: str, cam: str | None, records: list[Mapping], times: Times, tested: Mapping[str, str]
) -> Cost:
    """cam: the method of the maps that it reads; None if it looks at the tiles alone."""
    ways = [_way(method, cam, slide, fold, times) for slide, fold in tested.items()]
    measured = [sum(way) for way in ways if None not in way]
    folds = set(tested.values())
    learnt = [] if method in UNRELATED else ["train_classifier"]
    learnt += [] if method in UNLEARNT else [f"train_{method}"]
    trained = [times.get((rule,), {}).get(f"fold{f}") for f in folds for rule in learnt]
    whole = bool(folds) and None not in trained
    return Cost(
        seconds=statistics.median(measured) if measured else None,
        images=len(measured),
        training=sum(trained) / len(folds) if whole else None,
        devices=_devices(method, records) if measured else (),
    )


def _way(method: str, cam: str | None, slide: str, fold: str, times: Times) -> list[float | None]:
    """What each stage took of an image's way, None where it was not measured."""
    stages = [("refine_masks", method, f"fold{fold}"), ("stitch_heatmap", method)]
    stages += [("make_cams", cam, f"fold{fold}")] if cam else []
    stages += [("map_glands",)] if cam == "glands" else []
    return [times.get(stage, {}).get(slide) for stage in stages]


def _gather(records: Iterable[Mapping]) -> Times:
    """The times of units, together for all shards of what a rule makes."""
    times: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for record in records:
        rule, parts = record["rule"], record["key"].split(".")
        kept = {"make_cams": 2, "refine_masks": 2, "stitch_heatmap": 1}.get(rule, 0)
        times[rule, *parts[:kept]] |= record.get("unit_seconds", {})
    return times


def _devices(method: str, records: Iterable[Mapping]) -> tuple[str, ...]:
    own = (r for r in records if r["rule"] == "refine_masks" and r["key"].startswith(f"{method}."))
    return tuple(sorted({record["device"] for record in own if record.get("device")}))
