"""A finished study as its report reads it: which slides stand, and what is known of each."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.jobs.verdicts import REMEDIES
from workflow.lib.maps.overlays import lay_heatmap
from workflow.lib.report.cards import Row, make_card, slide_mm
from workflow.lib.report.examples import choose_examples, draw_example
from workflow.lib.report.page_layers import (
    PageLayer,
    cam_layer,
    cluster_layer,
    heatmap_layer,
    polygon_layer,
    tissue_layer,
    truth_layer,
)
from workflow.lib.report.pictures import draw_slide, draw_truth, read_picture, read_small, shrink
from workflow.lib.report.summary import Cohort, name_methods
from workflow.lib.slides.truth import read_mask
from workflow.lib.tiles.stores import Tiles, open_group
from workflow.lib.viewer.deepzoom import Box


class Study:
    """Reads the results folder of a study.

    slides        the rows of the sheet
    checked       the rows of verdicts.tsv
    placed        the rows of splits.tsv
    tables        name -> rows of the tables in evaluation/
    cluster_maps  indices of the last stage that visits every slide: its verdicts stand
    overlays      indices of the overlays, in a folder per method
    cams          the methods of the maps; later stages build on the first
    """

    def __init__(
        self,
        results: Path,
        slides: Sequence[Slide],
        *,
        checked: Sequence[Row],
        placed: Sequence[Row],
        tables: Mapping[str, Sequence[Row]],
        cluster_maps: Sequence[Path],
        overlays: Sequence[Path],
        cams: Sequence[str],
    ) -> None:
        self.results, self.slides = results, slides
        self.checked = _by_slide(checked)
        self.tested = _by_slide(row for row in placed if row["split"] == "test")
        self.methods = name_methods((index.parent.name for index in overlays), cams[0])
        self.drawn = {method: set() for method in self.methods}
        for index in overlays:
            self.drawn[index.parent.name] |= set(json.loads(index.read_text())["units"])
        self.scored = _by_slide(tables.get("classifier_slides", []))
        self.masked = {m: _by_slide(tables[f"masks_{m}_slides"]) for m in self.methods}
        self.curves = {m: tables[f"masks_{m}_curves"] for m in self.methods}
        self.cams = {m: m if m in CAMS else cams[0] for m in self.methods}  # shown, or built on
        shown = {self.cams[method] for method in self.methods if method in ("none", *CAMS)}
        self.raw = [cam for cam in cams if cam not in shown]  # of which no heatmap is stitched
        self.maps = cluster_maps[0].parent
        self.standing = {slide.slide: manifest(self.maps / slide.slide) for slide in slides}
        self.used = [slide for slide in slides if not self._is_quarantined(slide.slide)]

    def quarantined(self) -> list[dict]:
        """Slides that are not used, wherever that was found: slide, verdict, sentence, remedy."""
        return [
            unit | {"slide": slide, "remedy": REMEDIES[unit["verdict"]]}
            for slide, unit in self.standing.items()
            if self._is_quarantined(slide)
        ]

    def cohort(self, clusters: Sequence[Row]) -> Cohort:
        """How much there is; `clusters` are the rows of a table of cluster sizes."""
        tissue = (
            self._facts("tissue", slide)["tissue_fraction"]
            * np.prod(slide_mm(self.checked[slide.slide]))
            for slide in self.used
        )
        return Cohort(
            slides=len(self.slides),
            patients=len({slide.patient for slide in self.slides}),
            folds=len({row["fold"] for row in self.tested.values()}),
            used=len(self.used),
            tiles=sum(self._facts("tiles", slide)["tiles"] for slide in self.used),
            tissue_mm2=float(sum(tissue)),
            clusters=len(clusters),
            shared=sum(int(row["patients"]) > 1 for row in clusters),
        )

    def card(self, slide: Slide) -> dict:
        """What the page says of a slide that is used (`cards.make_card`)."""
        name, titles = slide.slide, self._titles(slide)
        return make_card(
            slide,
            self.checked[name],
            tiles=self._facts("tiles", slide)["tiles"],
            fold=self.tested.get(name, {}).get("fold"),
            scored=self.scored.get(name),
            masked={t: self.masked[m][name] for m, t in titles.items() if name in self.masked[m]},
            heatmaps={t: self._facts(f"heatmaps/{m}", slide) for m, t in titles.items()},
        )

    def pictures(self, slide: Slide, *, max_side_px: int) -> Iterator[tuple[str, np.ndarray]]:
        """Titles and pictures, RGB (h, w, 3) uint8: slide, pixel truth, overlays, clusters."""
        picture = self.picture(slide, max_side_px=max_side_px)
        yield "slide", picture
        if slide.mask:
            yield self.truth(slide, picture)
        overlays = self.results / "overlays"
        files = {
            t: overlays / m / slide.slide / "overlay.jpg" for m, t in self._titles(slide).items()
        }
        files["clusters"] = self.maps / slide.slide / "cluster_map.png"
        for title, file in files.items():
            yield title, shrink(read_picture(file), max_side_px=max_side_px)

    def thumbnail(self, slide: Slide, *, max_side_px: int) -> np.ndarray | None:
        """A slide as small as that, RGB (h, w, 3) uint8; None where it was never looked at."""
        name = slide.slide
        if not usable(self.results / "tissue", [name]):
            return None
        file = self.results / "tissue" / name / "thumbnail.jpg"
        return read_small(file, max_side_px=max_side_px)

    def picture(self, slide: Slide, *, max_side_px: int) -> np.ndarray:
        """A slide without anything drawn on it, RGB (h, w, 3) uint8."""
        thumbnail = read_picture(self.results / "tissue" / slide.slide / "thumbnail.jpg")
        return draw_slide(thumbnail, self._tiles(slide), max_side_px=max_side_px)

    def truth(self, slide: Slide, picture: np.ndarray) -> tuple[str, np.ndarray]:
        """A title, and the picture of a slide with what its mask marks."""
        about, size_mm = self._tiles(slide).attrs, slide_mm(self.checked[slide.slide])
        shape_px0 = (about["height_px0"], about["width_px0"])
        return draw_truth(picture, slide.mask, shape_px0=shape_px0, size_mm=size_mm)

    def example(self, slide: Slide, method: str, picture: np.ndarray) -> np.ndarray:
        """The heatmap of a method on the picture of a slide, parted at Otsu's threshold."""
        folder = self.results / "heatmaps" / method / slide.slide
        threshold = self.masked[method][slide.slide]["threshold"]
        return draw_example(
            picture,
            open_group(folder / "heatmap.ome.zarr"),
            manifest(folder)["facts"],
            float(threshold) if threshold else None,
        )

    def layers(self, slide: Slide, shape: tuple[int, int]) -> Iterator[PageLayer]:
        """What may be laid over a picture (h, w) of a slide, in this order: maps, then lines.

        Tissue, clusters, heatmaps, and raw cams of which there is no heatmap; truth, polygons.
        """
        name, store = slide.slide, self._tiles(slide)
        yield tissue_layer(
            read_picture(self.results / "tissue" / name / "tissue.png")[..., 0] > 0, shape
        )
        tested = self.tested.get(name, {}).get("fold")
        unit = self.results / "assignments" / self.maps.name / f"fold{tested or 0}" / name
        yield cluster_layer(
            open_group(unit / "assignments.zarr")["assignments"][:],
            store.positions_px,
            store.attrs["tile_px"],
            (store.attrs["height_px"], store.attrs["width_px"]),
            shape,
            count=manifest(unit)["facts"]["k"],
            title=f"clusters ({self.maps.name})",
        )
        for method, title in self._titles(slide).items():
            folder = self.results / "heatmaps" / method / name
            facts = manifest(folder)["facts"]
            placed = lay_heatmap(open_group(folder / "heatmap.ome.zarr"), shape, facts)
            yield heatmap_layer(placed, title=title, name=facts["class"])
        if tested is not None and len(store.positions_px):
            yield from self._raw_cams(name, tested, store, shape)
        size_px0 = (store.attrs["height_px0"], store.attrs["width_px0"])
        if slide.mask:
            with suppress(ValueError):  # of another slide; the picture of the truth says so
                yield truth_layer(read_mask(slide.mask, shape_px0=size_px0, out_shape=shape) > 0)
        for method, title in self._titles(slide).items():
            folder = self.results / "heatmaps" / method / name
            content = gzip.decompress((folder / "polygons.geojson.gz").read_bytes())
            if found := json.loads(content)["features"]:
                about = {"title": title, "name": manifest(folder)["facts"]["class"]}
                yield polygon_layer(found, shape, size_px0[1] / shape[1], **about)

    def _raw_cams(
        self, name: str, fold: str, store: Tiles, shape: tuple[int, int]
    ) -> Iterator[PageLayer]:
        box = Box(
            (0, 0), shape, max(store.attrs["height_px"], store.attrs["width_px"]) / max(shape)
        )
        for method in self.raw:
            unit = self.results / "cams" / method / f"fold{fold}" / name
            if not usable(unit.parent, [name]):
                continue
            cams, facts = open_group(unit / "cams.zarr"), manifest(unit)["facts"]
            places = (store.positions_px, store.attrs["tile_px"], box)
            yield cam_layer(cams["cams"], facts, cams.attrs["classes"], *places, title=CAMS[method])

    def ranked(self, chosen: Sequence[str]) -> list[Slide]:
        """The slides that are used: those chosen, those that tell most of each method, the rest."""
        told = [choose_examples(self.masked[method].values()) for method in self.methods]
        names = [*chosen, *(row["slide"] for rows in told for row in rows.values())]
        first = {name: place for place, name in reversed([*enumerate(names)])}
        return sorted(self.used, key=lambda slide: first.get(slide.slide, len(names)))

    def _tiles(self, slide: Slide) -> Tiles:
        return Tiles(self.results / "tiles" / slide.slide / "tiles.zarr")

    def _titles(self, slide: Slide) -> dict[str, str]:
        """The methods with a heatmap of this slide, and how they are called."""
        return {m: title for m, title in self.methods.items() if slide.slide in self.drawn[m]}

    def _facts(self, stage: str, slide: Slide) -> dict:
        return manifest(self.results / stage / slide.slide)["facts"]

    def _is_quarantined(self, slide: str) -> bool:
        return not self.standing[slide]["verdict"].startswith("ok")


def _by_slide(rows: Iterable[Row]) -> dict[str, Row]:
    return {row["slide"]: row for row in rows}
