"""A finished study to look at, laid out by hand: no stage is run for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from tests.browser import Browser
from tests.synthetic import make_cohort
from workflow.lib.jobs.tables import write_table
from workflow.lib.jobs.units import write_json
from workflow.lib.maps.polygons import write_geojson
from workflow.lib.maps.pyramids import write_heatmap
from workflow.lib.slides.slides import open_reader
from workflow.lib.tiles.stores import create_group, write_rows
from workflow.lib.viewer.server import Server
from workflow.tools import view

SIDE_PX0, MPP, SCALE, TILE_PX = 1024, 0.5, 2.0, 128
SQUARE = [[256, 256], [768, 256], [768, 512], [256, 512], [256, 256]]  # (x, y) px0


def make_viewed(folder: Path) -> tuple[Path, Path]:
    """Results and sheet of two slides: s02 is tested and has every layer, s01 has none but tissue.

    Slides are 1024 px of 0.5 um; 4 x 4 tiles of 128 px at 1 um, so 256 level-0 px wide; the heatmap
    has a pixel per 4 level-0 px, 1 in its upper half and 0.5 below; tissue is the left half.
    """
    sheet = make_cohort(folder / "cohort", slides=2, side_px=SIDE_PX0, mpp=MPP)
    results = folder / "results" / "viewed"
    for name in ("s01", "s02"):
        _tissue(results, name, folder / "cohort" / "slides" / f"{name}.tif")
        size = {"height_px0": SIDE_PX0, "width_px0": SIDE_PX0}
        _unit(results / "checks" / name, size | {"mpp": MPP})
    _tiles(results)
    _cams(results)
    _heatmap(results)
    row = {"fold": 0, "slide": "s02", "patient": "p02", "label": "tumour", "split": "test"}
    write_table(results / "splits.tsv", tuple(row), [row])
    return results, sheet


@contextmanager
def serve_viewed(results: Path, sheet: Path) -> Iterator[Server]:
    """The tool's server of a study, at work on a free port."""
    server = view.make_server(results, sheet, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    server.site.study.close()
    thread.join()


def settle(page: Browser) -> None:
    """Wait until the page of the viewer shows all that it is going to."""
    page.wait(
        "[...Array(viewer.world.getItemCount()).keys()]"
        ".every(n => (i => !i.opacity || i.getFullyLoaded())(viewer.world.getItemAt(n)))"
        " && !viewer.world.needsDraw() && current.layers.every("
        "l => !l.asked || l.image || l.svg) && location.hash.includes('zoom')"
    )
    page.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def _unit(folder: Path, facts: dict) -> None:
    made_from = {"settings": {"classes": ["normal", "tumour"]}}
    manifest = {"verdict": "ok", "sentence": None, "facts": facts, "made_from": made_from}
    write_json(folder / "manifest.json", manifest)


def _tissue(results: Path, name: str, slide: Path) -> None:
    folder = results / "tissue" / name
    _unit(folder, {"tissue_fraction": 0.5})
    with open_reader(slide) as reader:
        thumbnail = reader.thumbnail(256)
    cv2.imwrite(str(folder / "thumbnail.jpg"), thumbnail[..., ::-1])
    tissue = np.zeros((256, 256), np.uint8)
    tissue[:, :128] = 255
    cv2.imwrite(str(folder / "tissue.png"), tissue)


def _tiles(results: Path) -> None:
    folder = results / "tiles" / "s02"
    _unit(folder, {"tiles": 16})
    group = create_group(folder / "tiles.zarr", {"scale": SCALE, "tile_px": TILE_PX})
    rows, columns = np.divmod(np.arange(16), 4)
    write_rows(group, "positions_px", np.stack([rows, columns], axis=1) * TILE_PX)
    folder = results / "assignments" / "kmeans" / "fold0" / "s02"
    _unit(folder, {"k": 3, "tiles": 16})
    group = create_group(folder / "assignments.zarr")
    write_rows(group, "assignments", np.arange(16, dtype=np.int32) % 3)


def _cams(results: Path) -> None:
    folder = results / "cams" / "layercam" / "fold0" / "s02"
    _unit(folder, {"class": "tumour", "low": 2.0, "high": 4.0})
    group = create_group(folder / "cams.zarr", {"classes": ["normal", "tumour"]})
    maps = np.zeros((16, 2, 4, 4), np.float16)
    maps[:, 1] = 3.0
    write_rows(group, "cams", maps)


def _heatmap(results: Path) -> None:
    folder = results / "heatmaps" / "none" / "s02"
    _unit(folder, {"class": "tumour", "quantity": "evidence", "scale_px0": 4.0})
    side = SIDE_PX0 // 4
    probability = np.full((side, side), 0.5, np.float32)
    probability[: side // 2] = 1
    write_heatmap(
        folder / "heatmap.ome.zarr",
        [(0, probability, np.ones((side, side), bool))],
        (side, side),
        mpp=MPP * 4,
        mpp0=MPP,
        name="s02",
        channels={"tumour": (213, 94, 0)},
    )
    about = {"classification": {"name": "tumour", "color": [213, 94, 0]}}
    square = {"type": "Polygon", "coordinates": [SQUARE]}
    features = [{"type": "Feature", "geometry": square, "properties": about}]
    write_geojson(folder / "polygons.geojson.gz", features)
