"""The layers of a slide in a finished study: what may be laid over its pixels, cut when asked for.

Nothing of a store is read before a tile of it is wanted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.cohort.sheet import Slide
from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.report.colours import OKABE_ITO, RGB, class_colour, hex_colour
from workflow.lib.report.montage import COLOURS, cluster_colours
from workflow.lib.report.summary import name_methods
from workflow.lib.tiles.stores import open_group
from workflow.lib.viewer.colouring import (
    encode_codes,
    flat_palette,
    probability_codes,
    probability_palette,
)
from workflow.lib.viewer.cuts import cut_cams, cut_clusters, cut_heatmap, cut_mask
from workflow.lib.viewer.deepzoom import Box, Pyramid, power_below
from workflow.lib.viewer.truths import TRUTH, draw_truth

TISSUE = OKABE_ITO[2]
CRISP = 16  # px on a side of a tile of the grid at least, so that its edges are where they are


@dataclass(frozen=True)
class Layer:
    """What may be laid over a slide.

    Tiles are PNG of `pyramid`, made by `cut`; shapes are gzipped GeoJSON in level-0 px, made by
    `draw`; a layer has one of them. `legend` are (words, colour); `ramp` is the class whose
    evidence 0..1 is shown.
    """

    group: str
    title: str
    opacity: float
    pyramid: Pyramid | None = None
    cut: Callable[[Box], bytes] | None = None
    draw: Callable[[], bytes] | None = None
    legend: list[tuple[str, RGB]] = field(default_factory=list)
    ramp: str | None = None

    def describe(self) -> dict:
        """What the page needs to know, as plain JSON."""
        about = {"group": self.group, "title": self.title, "opacity": self.opacity}
        about |= {"ramp": self.ramp}
        about["legend"] = [[words, hex_colour(colour)] for words, colour in self.legend]
        if self.pyramid:
            about["tiles"] = describe_pyramid(self.pyramid)
        return about


def describe_pyramid(pyramid: Pyramid) -> dict:
    """Size in px of the last level, the first and last level, and level-0 px per px of the last."""
    height, width = pyramid.shape
    about = {"width": width, "height": height, "first": pyramid.first, "last": pyramid.last}
    return about | {"step": pyramid.finest_px0}


class SlideLayers:
    """Finds the layers of one slide in the results folder of a study.

    `size_px0` is (height, width); `fold` tests the slide, None where none does.
    """

    def __init__(
        self, results: Path, slide: Slide, size_px0: tuple[int, int], *, fold: str | None
    ) -> None:
        self.results, self.slide, self.size_px0, self.fold = results, slide, size_px0, fold

    def find(self) -> tuple[list[Layer], list[str]]:
        """In the order in which they are laid over each other; and why some cannot be shown."""
        layers: list[Layer] = []
        faults: list[str] = []
        parts = (self.tissue, self.clusters, self.truth, self.heatmaps, self.polygons, self.cams)
        for part in parts:
            try:
                layers += part()
            except (OSError, ValueError, KeyError) as error:
                faults.append(f"{part.__name__} cannot be shown ({error!r}).")
        return layers, faults

    @cached_property
    def grid(self) -> tuple[np.ndarray, float]:
        """Corners (N, 2) of the tiles and their side, in level-0 px."""
        store = open_group(self.results / "tiles" / self.slide.slide / "tiles.zarr")
        scale = store.attrs["scale"]
        return store["positions_px"][:] * scale, store.attrs["tile_px"] * scale

    def tissue(self) -> Iterator[Layer]:
        file = self.results / "tissue" / self.slide.slide / "tissue.png"

        @cache
        def mask() -> np.ndarray:
            with Image.open(file) as image:
                return (np.asarray(image) > 0).astype(np.uint8)

        yield self._mask("tissue", mask, TISSUE)

    def clusters(self) -> Iterator[Layer]:
        for method in self._folders("assignments"):
            unit = self.results / "assignments" / method / f"fold{self.fold or 0}"
            if not usable(unit, [self.slide.slide]):
                continue
            unit /= self.slide.slide
            count = manifest(unit)["facts"]["k"]
            colours = cluster_colours(count)
            palette = flat_palette(colours[:COLOURS])

            @cache
            def ids(unit: Path = unit) -> np.ndarray:
                return open_group(unit / "assignments.zarr")["assignments"][:]

            def cut(box: Box, ids: Callable = ids, palette: np.ndarray = palette) -> bytes:
                found = cut_clusters(ids(), *self.grid, box)
                codes = np.where(found > 0, (found - 1) % COLOURS + 1, 0).astype(np.uint8)
                return encode_codes(codes, palette)

            pyramid = Pyramid(self.size_px0, power_below(self.grid[1] / CRISP))
            legend = [(str(number), colour) for number, colour in enumerate(colours)]
            yield Layer("maps", f"clusters ({method})", 0.5, pyramid, cut, legend=legend)

    def cams(self) -> Iterator[Layer]:
        """Raw evidence of the fold that tests the slide, where no heatmap shows the method."""
        stitched = self._folders("heatmaps")
        for method in self._folders("cams") if self.fold is not None else []:
            unit = self.results / "cams" / method / f"fold{self.fold}"
            if method in stitched or not usable(unit, [self.slide.slide]):
                continue
            unit /= self.slide.slide
            facts = manifest(unit)["facts"]
            maps = open_group(unit / "cams.zarr")
            if not len(self.grid[0]):
                continue
            channel = maps.attrs["classes"].index(facts["class"])
            span = max(facts["high"] - facts["low"], 1e-12)
            palette = probability_palette()

            def cut(
                box: Box,
                array: object = maps["cams"],
                channel: int = channel,
                low: float = facts["low"],
                span: float = span,
                palette: np.ndarray = palette,
            ) -> bytes:
                raw = cut_cams(array, channel, *self.grid, box)
                return encode_codes(probability_codes((raw - low) / span), palette)

            finest = power_below(self.grid[1] / maps["cams"].shape[-1])
            pyramid, title = Pyramid(self.size_px0, finest), CAMS.get(method, method)
            yield Layer("raw cams", title, 0.65, pyramid, cut, ramp=facts["class"])

    def heatmaps(self) -> Iterator[Layer]:
        for title, folder in self._stitched():
            facts = manifest(folder)["facts"]
            group = open_group(folder / "heatmap.ome.zarr")

            def cut(box: Box, group: object = group, scale: float = facts["scale_px0"]) -> bytes:
                found = cut_heatmap(group, scale, box)
                return encode_codes(probability_codes(found), probability_palette())

            pyramid = Pyramid(self.size_px0, power_below(facts["scale_px0"]))
            yield Layer("heatmaps", title, 0.65, pyramid, cut, ramp=facts["class"])

    def polygons(self) -> Iterator[Layer]:
        for title, folder in self._stitched():
            facts = manifest(folder)["facts"]
            classes = manifest(folder)["made_from"]["settings"]["classes"]
            place = classes.index(facts["class"]) if facts["class"] in classes else 1
            file = folder / "polygons.geojson.gz"
            legend = [(facts["class"], class_colour(place))]
            yield Layer("polygons", title, 1.0, draw=file.read_bytes, legend=legend)

    def truth(self) -> Iterator[Layer]:
        """The outlines of what the sheet's mask marks."""
        if (file := self.slide.mask) and file.is_file():
            legend = [("marked", TRUTH)]

            def draw() -> bytes:
                return draw_truth(file, self.size_px0)

            yield Layer("truth", "truth", 1.0, draw=draw, legend=legend)

    def _mask(self, name: str, mask: Callable[[], np.ndarray], colour: RGB) -> Layer:
        palette = flat_palette([colour])

        def cut(box: Box) -> bytes:
            return encode_codes(cut_mask(mask(), self.size_px0, box), palette)

        return Layer(name, name, 0.4, Pyramid(self.size_px0), cut, legend=[(name, colour)])

    def _folders(self, stage: str) -> list[str]:
        folder = self.results / stage
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(entry.name for entry in found if entry.is_dir())

    def _stitched(self) -> Iterator[tuple[str, Path]]:
        """How the methods that have a heatmap of the slide are called, and its folder."""
        for method, title in name_methods(self._folders("heatmaps")).items():
            folder = self.results / "heatmaps" / method
            if usable(folder, [self.slide.slide]):
                yield title, folder / self.slide.slide
