"""Which patches of CAMELYON16 count: the rule behind the published patch-level benchmark.

Rony et al., MELBA 2023, and Belharbi et al., MIDL 2022: patches of 512 px at level 0 that do not
overlap. A metastatic one, of a slide with metastases, holds tissue on at least a tenth of it and
metastasis on at least a fifth. Category A are those with metastasis on up to a half, all kept; of
category B, those with more, only as many are drawn as make A 60.8 % of the metastatic patches.
Normal patches come from normal slides alone, as many as there are metastatic ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

PATCH_PX0 = 512
LEAST_TISSUE = 0.1
LEAST_MARKED, MOST_MARKED_A = 0.2, 0.5
SHARE_A = 0.608  # published for the training slides; here of the test slides as well


@dataclass(frozen=True)
class Candidates:
    """The patches of a slide with enough tissue, (N, 2) top-left corners (y, x) in level-0 px.

    marked: (N,) share of each that is metastasis; None for a normal slide.
    """

    origins_px0: np.ndarray
    marked: np.ndarray | None


def patch_grid(height_px0: int, width_px0: int) -> np.ndarray:
    """Top-left corners (N, 2) int64 of all whole patches of a slide, row by row."""
    rows, columns = (np.arange(side // PATCH_PX0) * PATCH_PX0 for side in (height_px0, width_px0))
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def categories(marked: np.ndarray) -> np.ndarray:
    """A, B or "" (too little metastasis) for each share of a patch (N,), (N,) str.

    >>> categories(np.array([0.19, 0.2, 0.5, 0.51])).tolist()
    ['', 'A', 'A', 'B']
    """
    found = np.where(marked > MOST_MARKED_A, "B", "A")
    return np.where(marked < LEAST_MARKED, "", found)


def choose_patches(slides: Mapping[str, Candidates], *, seed: int) -> dict[str, np.ndarray]:
    """Rows of the candidates of each slide that count, ascending; the slides of one part.

    Normal patches are drawn as evenly over the normal slides as these have them. The order of
    `slides` does not matter.
    """
    random = np.random.default_rng(seed)
    slides = dict(sorted(slides.items()))
    in_a, in_b = (
        {
            name: np.flatnonzero(categories(found.marked) == category)
            for name, found in slides.items()
            if found.marked is not None
        }
        for category in "AB"
    )
    count_a = sum(map(len, in_a.values()))
    count_b = round(count_a * (1 - SHARE_A) / SHARE_A)
    in_b = _thin(in_b, count_b, random, even=False)
    count = count_a + sum(map(len, in_b.values()))
    normal = {name: np.arange(len(s.origins_px0)) for name, s in slides.items() if s.marked is None}
    normal = _thin(normal, count, random, even=True)
    chosen = {name: np.sort(np.concatenate([rows, in_b[name]])) for name, rows in in_a.items()}
    return chosen | normal


def _thin(
    rows: Mapping[str, np.ndarray], count: int, random: np.random.Generator, *, even: bool
) -> dict[str, np.ndarray]:
    """At most `count` rows of all slides together, at random.

    even: a second row of a slide is taken only when every slide has given a first one, and so on.
    """
    owner = np.repeat(np.arange(len(rows)), [len(found) for found in rows.values()])
    mixed: Sequence[np.ndarray] = [random.permutation(found) for found in rows.values()]
    turn = np.concatenate([np.arange(len(found)) for found in mixed]) if mixed else owner
    draw = random.random(len(owner))
    kept = np.lexsort((draw, turn * even))[:count]
    flat = np.concatenate(mixed) if mixed else owner
    return {name: np.sort(flat[kept[owner[kept] == index]]) for index, name in enumerate(rows)}
