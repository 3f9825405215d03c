"""Score slides as bags, and note how much each of their tiles has to do with it."""

import functools
import logging
from pathlib import Path

import numpy as np
from scipy.special import softmax

from workflow.lib.cohort.folds import in_fold
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.networks.aggregators import Aggregator, read_slide
from workflow.lib.networks.feature_bags import open_feature_bags
from workflow.lib.networks.saved_models import read_record
from workflow.lib.tiles.stores import create_group, open_group, write_rows

log = logging.getLogger(__name__)


def score_bags(
    features: Path,
    splits: Path,
    aggregator: Path,
    bag_scores: Path,
    *,
    shard: Shard,
    fold: int,
    device: str,
    threads: int,
) -> None:
    """Write attention (N,) and evidence (N, C) of the tiles of each slide, and its own score.

    Of every slide of the fold: training and validation slides get labels for their tiles from it,
    test slides are scored. Tiles that could not be read take no part; they have attention and
    evidence 0.
    """
    where, trained = prepare(device, threads=threads), aggregator.with_suffix("")
    placed = in_fold(read_table(splits), fold)

    @functools.cache  # once for the shard, and only if a slide needs it
    def network() -> Aggregator:
        return Aggregator.load(trained).to(where)

    def work(slide: Slide, folder: Path) -> dict:
        source = open_group(features.parent / slide.slide / "features.zarr")
        if dict(source.attrs) != read_record(trained)["made_by"]:
            raise ValueError(
                f"{slide.slide} has features of {dict(source.attrs)}, not those that the "
                f"aggregator of fold {fold} was trained on; extract them again"
            )
        classes, bad = network().classes, source["bad"][:]
        bags = open_feature_bags(features.parent, {slide.slide: 0})
        attention, evidence = np.zeros(len(bad)), np.zeros((len(bad), len(classes)))
        facts = {"tiles": len(bad), "pooled": None, "predicted": None}
        if len(bags):  # else there is no tile, or none that could be read
            found = read_slide(network(), bags.rows(0), device=where)
            attention[~bad], evidence[~bad] = found.attention, found.evidence
            if not np.isfinite(found.logits).all():
                raise ValueError(f"E_NUMBER: {slide.slide}: its scores are not finite")
            pooled = softmax(found.logits)
            facts |= {"pooled": pooled.tolist(), "predicted": classes[int(pooled.argmax())]}
            log.info("%s: %s (%.2f).", slide.slide, facts["predicted"], pooled.max())
        group = create_group(folder / "bag_scores.zarr", {"classes": classes, "fold": fold})
        for name, rows in {"attention": attention, "evidence": evidence}.items():
            write_rows(group, name, rows.astype(np.float32))
        write_rows(group, "bad", bad)
        return facts

    visit(bag_scores, shard, work, upstream=[features.parent, trained], only=placed)


if __name__ == "__main__":
    run(score_bags, globals().get("snakemake"))
