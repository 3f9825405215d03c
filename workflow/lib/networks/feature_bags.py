"""Slides as bags of features, each bag with one class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from workflow.lib.jobs.units import usable
from workflow.lib.tiles.rows import Array, Rows, draw, one_encoder
from workflow.lib.tiles.stores import open_group


class FeatureBags:
    """The features of the readable tiles of labelled slides; a slide without one is left out.

    slides: S names; label: (S,) int64; made_by: what the features say of their encoder
    """

    def __init__(
        self,
        slides: Sequence[str],
        arrays: Sequence[Array],
        good: Sequence[np.ndarray],
        labels: Sequence[int],
        made_by: Mapping | None = None,
    ) -> None:
        kept = [index for index, rows in enumerate(good) if rows.any()]
        self.slides = [slides[index] for index in kept]
        self.label = torch.tensor([labels[index] for index in kept], dtype=torch.int64)
        self.made_by = dict(made_by or {})
        self._arrays, self._good = [arrays[i] for i in kept], [good[i] for i in kept]

    def __len__(self) -> int:
        return len(self.slides)

    def rows(self, index: int) -> Rows:
        """The features of one slide, all of them, to be read block by block."""
        name = self.slides[index]
        return Rows({name: self._arrays[index]}, {name: self._good[index]})

    def everything(self) -> Rows:
        """The features of all slides, block by block."""
        names = self.slides
        return Rows(
            dict(zip(names, self._arrays, strict=True)), dict(zip(names, self._good, strict=True))
        )

    def sample(self, index: int, most: int, *, seed: int) -> np.ndarray:
        """Features (n, D) float32 of `most` tiles of a slide, drawn at random, or of all of them.

        Raises ValueError, naming slide and tile, at a feature that is NaN or infinite.
        """
        name = self.slides[index]
        (kept,) = draw([self._good[index]], most, seed=seed)
        return np.concatenate(list(Rows({name: self._arrays[index]}, {name: kept})))


def open_feature_bags(features: Path, labels: Mapping[str, int]) -> FeatureBags:
    """The bags of those slides of `labels` ({slide: class}) that are not quarantined, sorted.

    features: the stage folder, with a unit per slide. Raises ValueError for features of different
    encoders.
    """
    slides = usable(features, labels)
    groups = [open_group(features / slide / "features.zarr") for slide in slides]
    made_by = one_encoder({s: group.attrs for s, group in zip(slides, groups, strict=True)})
    return FeatureBags(
        slides,
        [group["features"] for group in groups],
        [~group["bad"][:] for group in groups],
        [labels[slide] for slide in slides],
        made_by,
    )
