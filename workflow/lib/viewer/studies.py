"""A finished study to look at: its slides by number, their layers by number, tiles of both.

A number is all that a browser says: no name and no path of it is ever opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.report.pictures import read_picture, read_small
from workflow.lib.slides.buckets import ObjectPath
from workflow.lib.viewer.colouring import encode_pixels
from workflow.lib.viewer.cuts import cut_picture, cut_slide
from workflow.lib.viewer.deepzoom import Pyramid
from workflow.lib.viewer.layers import Layer, SlideLayers, describe_pyramid
from workflow.lib.viewer.readers import Readers

OPEN = 16  # slides whose layers are remembered
SMALL_PX = 96  # side of the picture of a slide in the list


@dataclass(frozen=True)
class View:
    """One slide: how large it is, its thumbnail and its layers."""

    slide: Slide
    size_px0: tuple[int, int]
    mpp: float
    thumbnail_file: Path
    layers: Sequence[Layer]
    unread: str | None  # why its own pixels cannot be shown
    faults: Sequence[str]  # why a layer cannot

    @cached_property
    def pyramid(self) -> Pyramid:
        return Pyramid(self.size_px0)

    @cached_property
    def thumbnail(self) -> np.ndarray:
        return read_picture(self.thumbnail_file)


class ViewedStudy:
    """The slides of a study that have a tissue mask, in the order of the sheet."""

    def __init__(self, results: Path, slides: Sequence[Slide]) -> None:
        self.results, self.readers = results, Readers()
        found = set(usable(results / "tissue", [slide.slide for slide in slides]))
        self.slides = [slide for slide in slides if slide.slide in found]
        splits = results / "splits.tsv"
        rows = read_table(splits) if splits.is_file() else []
        self.tested = {row["slide"]: row["fold"] for row in rows if row["split"] == "test"}
        self.view = lru_cache(OPEN)(self._view)

    def describe(self) -> dict:
        """What the page shows before a slide is chosen."""
        rows = ({"slide": s.slide, "patient": s.patient, "label": s.label} for s in self.slides)
        return {"study": self.results.name, "slides": list(rows)}

    def describe_slide(self, number: int) -> dict:
        """What the page needs to show a slide. Raises LookupError for a number of no slide."""
        view = self.view(number)
        fault = " ".join(filter(None, [view.unread, *view.faults]))
        about = {"slide": view.slide.slide, "mpp": view.mpp, "fault": fault}
        about |= {"height": view.size_px0[0], "width": view.size_px0[1]}
        about["tiles"] = describe_pyramid(view.pyramid)
        return about | {"layers": [layer.describe() for layer in view.layers]}

    def small_picture(self, number: int) -> bytes:
        """The slide at most 96 px large, as a JPEG."""
        file = self.results / "tissue" / self._slide(number).slide / "thumbnail.jpg"
        return encode_pixels(read_small(file, max_side_px=SMALL_PX))

    def slide_tile(self, number: int, level: int, row: int, column: int) -> bytes:
        """A tile of the pixels, as a JPEG. Raises LookupError where there is none."""
        view = self.view(number)
        box = view.pyramid.tile(level, row, column)
        if view.unread:
            return encode_pixels(cut_picture(view.thumbnail, view.size_px0, box))
        with self.readers.borrow(view.slide.path, view.mpp) as reader:
            return encode_pixels(cut_slide(reader, box, view.thumbnail))

    def layer_tile(self, number: int, layer: int, level: int, row: int, column: int) -> bytes:
        """A tile of a layer, as a PNG. Raises LookupError where there is none."""
        found = self._layer(number, layer)
        if not found.cut:
            raise LookupError(f"{found.title} has no tiles")
        return found.cut(found.pyramid.tile(level, row, column))

    def shapes(self, number: int, layer: int) -> bytes:
        """The shapes of a layer, as gzipped GeoJSON. Raises LookupError where there are none."""
        found = self._layer(number, layer)
        if not found.draw:
            raise LookupError(f"{found.title} has no shapes")
        return found.draw()

    def close(self) -> None:
        self.readers.close()

    def _slide(self, number: int) -> Slide:
        if not 0 <= number < len(self.slides):
            raise LookupError(f"there is no slide {number}; there are {len(self.slides)}")
        return self.slides[number]

    def _layer(self, number: int, layer: int) -> Layer:
        layers = self.view(number).layers
        if not 0 <= layer < len(layers):
            raise LookupError(f"there is no layer {layer}; there are {len(layers)}")
        return layers[layer]

    def _view(self, number: int) -> View:
        slide = self._slide(number)
        facts = manifest(self.results / "checks" / slide.slide)["facts"]
        size_px0 = (facts["height_px0"], facts["width_px0"])
        fold = self.tested.get(slide.slide)
        layers, faults = SlideLayers(self.results, slide, size_px0, fold=fold).find()
        file = self.results / "tissue" / slide.slide / "thumbnail.jpg"
        unread = self._unread(slide, facts)
        return View(slide, size_px0, facts["mpp"], file, layers, unread, faults)

    def _unread(self, slide: Slide, facts: dict) -> str | None:
        """Why the pixels of a slide cannot be read; None where they can."""
        if isinstance(slide.path, ObjectPath):
            return f"{slide.path.name} is in object storage. Only its thumbnail is shown."
        try:
            with self.readers.borrow(slide.path, facts["mpp"]) as reader:
                found = (reader.height_px0, reader.width_px0)
        except Quarantine as verdict:
            return f"{verdict.sentence} Only its thumbnail is shown."
        if found != (facts["height_px0"], facts["width_px0"]):
            changed = f"{slide.path.name} is no longer the slide of this study."
            return f"{changed} Only its thumbnail is shown."
        return None
