"""A few slides whose pixel masks choose something, drawn evenly by class."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from workflow.lib.jobs.units import manifest, usable
from workflow.lib.refine.shares import share_out


def draw_slides(labels: Mapping[str, str], count: int, *, seed: int) -> list[str]:
    """`count` of the slides {slide: class}, sorted; of each class as many, as far as they go.

    >>> draw_slides({"a": "x", "b": "y"}, 6, seed=0), draw_slides({}, 6, seed=0)
    (['a', 'b'], [])
    """
    rng, drawn = np.random.default_rng(seed), []
    groups = [sorted(s for s in labels if labels[s] == name) for name in sorted({*labels.values()})]
    for group, share in zip(groups, share_out([*map(len, groups)], count), strict=True):
        drawn += rng.permutation(group)[:share].tolist()
    return sorted(drawn)


def with_tiles(folder: Path, slides: Iterable[str]) -> list[str]:
    """Those of `slides` that a stage has a result for and that have a tile, sorted."""
    return [s for s in usable(folder, slides) if manifest(folder / s)["verdict"] == "ok"]
