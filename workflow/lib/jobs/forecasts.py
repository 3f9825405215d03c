"""What a run would cost, stage by stage: from what earlier jobs took, else from a guess.

A stage grows with the pixels of its tiles, with the number of its slides, or with neither, where a
setting bounds what it looks at (GROWS). What is learnt of it is a cost per such an amount; what a
job spends before its first slide (starting, loading networks) counts once a job.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

GROWS = {
    rule: kind
    for kind, rules in {
        "slides": "check_slide mask_tissue check_points check_cohort split_patients audit_folds "
        "draw_cluster_maps draw_overlay evaluate_classifier evaluate_masks evaluate_pseudo_masks "
        "summarise_study write_report gather_exports export_polygons export_tissue",
        "jobs": "train_clusters draw_montages draw_embeddings draw_networks explain_tiles "
        "probe_networks evaluate_clusters evaluate_probes",
    }.items()
    for rule in rules.split()
}
# Settings that change what a stage costs: a rate of other values is no measurement of this run.
COSTLY = frozenset(
    {"backbone", "encoder", "engine", "precision", "epochs", "rounds", "passes", "restarts"}
    | {"count", "stride", "side_px", "batch_size", "scales", "flips", "smooth_samples", "codec"}
)
SNAKEMAKE_MB = 300  # MB that Snakemake itself takes of what a job asks for (docs/cluster.md)
MM2_A_MB = 0.25  # mm2 of tissue in a MB of a slide of 0.25 um, JPEG at about 0.2 bytes per pixel


class Job(NamedTuple):
    """A job that would run.

    method  which of those that the rule knows; empty where it knows one
    slides  those that it visits, or all of the study
    shard   whether it makes a result for each of them, not one for all
    mem_mb  MB that its rule asks for, None where it names none
    gpu     whether it asks for a GPU
    """

    rule: str
    method: str
    slides: Sequence[str]
    shard: bool
    mem_mb: int | None = None
    gpu: bool = False


class Taken(NamedTuple):
    """What a job of an earlier run took.

    slides       those that it visited, or all of its study
    seconds      from its start to its end, without imports
    cpu_seconds  of all threads, with imports
    units        s of all results that it made, together; 0 where it times none
    """

    slides: Sequence[str]
    seconds: float
    cpu_seconds: float
    threads: int
    units: float
    max_rss_mb: float
    device: str | None


class Kept(NamedTuple):
    """What lies on the disk of a job of an earlier run; slides and shard as of `Job`."""

    slides: Sequence[str]
    shard: bool
    bytes: int
    files: int


class Rate(NamedTuple):
    """What a stage costs: `start_s` CPU s a job, cpu_s and gpu_s per amount (GROWS).

    Bytes are per amount and files per slide where a job makes a result for each slide; else both
    are per job.

    gpu_s    s on a GPU; None where a GPU was not seen at work
    peak_mb  MB of the largest job; None where none was measured
    source   where it was learnt
    guessed  whether it is no measurement of what would run
    """

    start_s: float
    cpu_s: float
    gpu_s: float | None
    bytes: float
    files: float
    peak_mb: float | None
    source: str
    guessed: bool


class Row(NamedTuple):
    """A stage of the forecast: a rule, with each method that it has.

    tiles  how many its jobs look at, each counted once a job; None where that does not matter
    """

    stage: str
    jobs: int
    slides: int
    tiles: int | None
    cpu_hours: float
    gpu_hours: float | None
    bytes: float
    files: float
    asked_mb: int | None
    rate: Rate


def count_tiles(
    counted: Mapping[str, float], sizes: Mapping[str, int], tile_um: float
) -> tuple[dict[str, float], int]:
    """Tiles of each slide of `sizes` (slide -> bytes of its file), and of how many that is guessed.

    counted: of slides that were tiled. The others are taken to hold as many for a byte as these,
    or MM2_A_MB of tissue where there are none. tile_um: from one tile to the next.
    """
    known = {slide: counted[slide] for slide in sizes if slide in counted}
    seen = sum(sizes[slide] for slide in known)
    density = sum(known.values()) / seen if seen else MM2_A_MB / tile_um**2
    tiles = {slide: known.get(slide, size * density) for slide, size in sizes.items()}
    return tiles, len(sizes) - len(known)


def amount(rule: str, slides: Sequence[str], megapixels: Mapping[str, float]) -> float:
    """What a job of a rule costs grows with this: Mpx of tiles, slides, or 1."""
    kind = GROWS.get(rule)
    if kind:
        return len(slides) if kind == "slides" else 1
    return sum(megapixels.get(slide, 0) for slide in slides)


def learn(
    rule: str,
    taken: Iterable[Taken],
    kept: Sequence[Kept],
    megapixels: Mapping[str, float],
    source: str,
) -> Rate | None:
    """What a rule costs, from jobs of an earlier study; None where none can tell.

    A job that found some of its results made (they took longer than it did itself), and one that
    made none while others of the rule did, says nothing of what making them costs.
    """
    taken = [job for job in taken if job.units <= 1.05 * job.seconds + 0.1]
    timed = [job for job in taken if job.units]
    taken = timed or taken
    total = sum(amount(rule, job.slides, megapixels) for job in taken)
    if not total:
        return None
    starts = [max(0.0, job.cpu_seconds - job.units * job.threads) if timed else 0 for job in taken]
    on_gpu = [job for job in taken if (job.device or "").startswith("cuda")]
    lying = sum(amount(rule, job.slides, megapixels) if job.shard else 1 for job in kept)
    results = sum(len(job.slides) if job.shard else 1 for job in kept)
    return Rate(
        start_s=sum(starts) / len(taken),
        cpu_s=(sum(job.cpu_seconds for job in taken) - sum(starts)) / total,
        gpu_s=sum(job.seconds for job in on_gpu) / total if on_gpu else None,
        bytes=sum(job.bytes for job in kept) / lying if lying else 0,
        files=sum(job.files for job in kept) / results if results else 0,
        peak_mb=max(job.max_rss_mb for job in taken),
        source=source,
        guessed=False,
    )


def differing(now: Mapping, then: Mapping) -> list[str]:
    """What bears on costs and was otherwise: 'backbone resnet50', the value of then."""
    known = sorted(COSTLY & now.keys() & then.keys())
    return [f"{key} {then[key]}" for key in known if now[key] != then[key]]


def foresee(
    jobs: Iterable[Job],
    rates: Mapping[tuple[str, str], Rate],
    megapixels: Mapping[str, float],
    tiles: Mapping[str, float],
) -> list[Row]:
    """What `jobs` would cost, rule by rule and method by method, in their order.

    rates go by rule and method, `megapixels` (of tiles) and `tiles` by slide.
    """
    stages: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        stages[job.rule, job.method].append(job)
    rows = []
    for (rule, method), found in stages.items():
        rate = rates[rule, method]
        works = [amount(rule, job.slides, megapixels) for job in found]
        lying = sum(work if job.shard else 1 for job, work in zip(found, works, strict=True))
        gpu = None if rate.gpu_s is None else rate.gpu_s * sum(works) / 3600
        if gpu is None and not any(job.gpu for job in found):
            gpu = 0.0
        seen = sum(tiles.get(slide, 0) for job in found for slide in job.slides)
        rows.append(
            Row(
                f"{rule} {method}".strip(),
                jobs=len(found),
                slides=len({slide for job in found for slide in job.slides}),
                tiles=None if rule in GROWS else round(seen),
                cpu_hours=(rate.start_s * len(found) + rate.cpu_s * sum(works)) / 3600,
                gpu_hours=gpu,
                bytes=rate.bytes * lying,
                files=rate.files * sum(len(job.slides) if job.shard else 1 for job in found),
                asked_mb=max((job.mem_mb for job in found if job.mem_mb), default=None),
                rate=rate,
            )
        )
    return rows


def tight(rows: Iterable[Row]) -> list[Row]:
    """Stages of which a job took more memory than Slurm would be asked for at first."""
    asking = (row for row in rows if row.asked_mb and row.rate.peak_mb)
    return [row for row in asking if row.rate.peak_mb + SNAKEMAKE_MB > row.asked_mb]
