"""Metrics tables of runs, as an ablation finds them, and how they compare."""

from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.measures import ablation
from workflow.lib.measures.ablation import Target

NAMES = ["base", "other"]
RECIPE = {"rule": "tile_slide", "settings": {"mpp": 1}, "slides": {}}


def unit(index, recipe, text):
    """A result that holds `text`, in a store, and its index."""

    def work(draft):
        (draft / "x.zarr").mkdir()
        (draft / "x.zarr" / "c0").write_text(text)
        return {}

    commit(index, Shard("s1", [], recipe), work)


def row(value, method="classifier", metric="auroc", **cells):
    about = {"fold": "all", "split": "test", "level": "tile", "method": method, "metric": metric}
    bounds = {"ci_low": "0.25", "ci_high": "0.75"} if value != "" else {"ci_low": "", "ci_high": ""}
    return about | {"value": str(value), **bounds, "n": "9", "pixel_masks_used": "0"} | cells


def runs(**values):
    """base=[0.5, 0.6] -> the tables of variant base for the seeds 0 and 1; None = no table."""
    return {
        (variant, seed): [row(value)]
        for variant, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
        if value is not None
    }


def compared(finished, *targets, seeds=(0, 1, 2), variants=NAMES):
    targets = targets or (Target("tile", "auroc"),)
    rows = ablation.compare(finished, targets, variants=variants, seeds=seeds)
    assert all(tuple(row) == ablation.COLUMNS for row in rows)
    return rows


def pooled(rows, variant="other"):
    return next(row for row in rows if (row["variant"], row["seed"]) == (variant, "all"))
