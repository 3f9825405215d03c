"""Pyramids: the levels by a plain computation, and read back as other programs read them."""

import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05 import Image
from ome_zarr_models.v05.labels import Labels

from workflow.lib.maps import pyramids
from workflow.lib.maps.pyramids import (
    count_levels,
    finest_level,
    level_for,
    level_shapes,
    read_level,
    write_heatmap,
    write_ome_tiff,
)
from workflow.lib.tiles.stores import open_group

DESCRIBED = {
    "mpp": 1.3,
    "mpp0": 0.499,
    "name": "slide-1",
    "channels": {"tumour": (213, 94, 0)},
}


def bands_of(probability, covered, heights):
    """The heatmap in bands of these heights, over and over."""
    row = turn = 0
    while row < len(probability):
        stop = row + heights[turn % len(heights)]
        yield row, probability[row:stop], covered[row:stop]
        row, turn = stop, turn + 1


def drawn(shape, seed=0):
    """A heatmap with a hill, and coverage that ends somewhere."""
    y, x = np.indices(shape)
    random = np.random.default_rng(seed).random(shape)
    hill = np.exp(-((y - shape[0] / 3) ** 2 + (x - shape[1] / 2) ** 2) / (0.1 * max(shape)) ** 2)
    covered = (x < 0.9 * shape[1]) & (y >= shape[0] // 8)
    return np.where(covered, 0.8 * hill + 0.2 * random, 0).astype(np.float32), covered


def written(path, shape, heights=(37, 64), **changes):
    probability, covered = drawn(shape)
    bands = bands_of(probability, covered, heights)
    group = write_heatmap(path, bands, shape, **(DESCRIBED | changes))
    return probability, covered, group


def halved(level):
    """2 x 2 mean in float, a lone edge counting twice."""
    even = np.pad(level, [(0, side % 2) for side in level.shape], mode="edge").astype(float)
    return even.reshape(even.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))


def files_of(folder):
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_levels_halve_until_one_chunk_holds_the_slide(shape):
    shapes = level_shapes(shape)
    assert shapes[0] == shape
    assert max(shapes[-1]) <= 256
    assert len(shapes) == 1 or max(shapes[-2]) > 256
    for (h, w), (less_h, less_w) in pairwise(shapes):
        assert (less_h, less_w) == ((h + 1) // 2, (w + 1) // 2)


@pytest.mark.parametrize("shape", [(1, 1), (256, 256), (257, 100), (1031, 777)])
def test_levels_are_means_of_two_by_two(tmp_path, shape):
    probability, covered, _ = written(tmp_path / "heatmap.ome.zarr", shape)
    group = open_group(tmp_path / "heatmap.ome.zarr")
    values, lies = read_level(group, 0)
    assert values.dtype == np.uint16
    np.testing.assert_allclose(values / 65535, probability, atol=0.5 / 65535 + 1e-7)
    np.testing.assert_array_equal(lies, covered)
    for level in range(1, count_levels(group)):
        mean, touched = halved(values), halved(lies) > 0
        values, lies = read_level(group, level)
        np.testing.assert_array_equal(values, np.floor(mean + 0.5).astype(np.uint16))
        np.testing.assert_array_equal(lies, touched)
    assert max(values.shape) <= 256


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.sampled_from([1 << 17, 1 << 19]))
@settings(max_examples=12)
def test_bands_and_shards_of_any_height_give_the_same_heatmap(tmp_path_factory, heights, size):
    path = tmp_path_factory.mktemp("heatmap") / "heatmap.ome.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramids, "SHARD_BYTES", size)  # one row of chunks, or four
        probability, _, group = written(path, (900, 300), heights)
    np.testing.assert_array_equal(group["s0"][0], np.rint(probability * 65535).astype(np.uint16))
    expected = halved(group["s0"][0])
    np.testing.assert_array_equal(group["s1"][0], np.floor(expected + 0.5))


def test_is_valid_ome_zarr_and_lies_on_the_slide(tmp_path):
    written(tmp_path / "heatmap.ome.zarr", (700, 300))
    image = Image.from_zarr(zarr.open_group(str(tmp_path / "heatmap.ome.zarr"), mode="r"))
    assert image.ome_attributes.version == "0.5"
    (multiscale,) = image.ome_attributes.multiscales
    assert [(axis.name, axis.type, axis.unit) for axis in multiscale.axes] == [
        ("c", "channel", None),
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    assert [dataset.path for dataset in multiscale.datasets] == ["s0", "s1", "s2"]
    scale, translation = multiscale.datasets[1].coordinateTransformations
    assert scale.scale == [1.0, 2.6, 2.6]
    # Pixel 0 of s1 covers 2.6 um from the corner of the slide; its centre is at 1.3 um, and the
    # centre of the slide's own first pixel is at 0.2495 um, which is where the axes begin.
    np.testing.assert_allclose(translation.translation, [0, 1.3 - 0.2495, 1.3 - 0.2495])
    labels = Labels.from_zarr(zarr.open_group(str(tmp_path / "heatmap.ome.zarr/labels"), mode="r"))
    assert labels.label_paths == ["coverage"]
    coverage = labels.get_image_labels_group("coverage").ome_attributes
    assert [len(m.datasets) for m in coverage.multiscales] == [3]
    assert coverage.image_label.colors[0].label_value == 1


def test_every_level_lies_at_the_same_place(tmp_path):
    """The centre of mass in um is the same in all levels, also of a slide with odd sides."""
    y, x = np.indices((1001, 777))
    hill = np.exp(-((y - 400.3) ** 2 + (x - 300.8) ** 2) / 60**2).astype(np.float32)
    bands = bands_of(hill, hill >= 0, (100,))
    group = write_heatmap(tmp_path / "heatmap.ome.zarr", bands, hill.shape, **DESCRIBED)
    (multiscale,) = group.attrs["ome"]["multiscales"]
    assert len(multiscale["datasets"]) == 3
    for dataset in multiscale["datasets"]:
        scale, translation = dataset["coordinateTransformations"]
        level = group[dataset["path"]][0].astype(float)
        centre = (np.indices(level.shape) * level).sum(axis=(1, 2)) / level.sum()
        found = centre * scale["scale"][1:] + translation["translation"][1:]
        np.testing.assert_allclose(found, np.array([400.8, 301.3]) * 1.3 - 0.2495, atol=0.01)


def test_reads_as_ome_zarr_reads_it(tmp_path):
    """What napari gets: the image with its channel, and the coverage as labels."""
    _, covered, _ = written(tmp_path / "heatmap.ome.zarr", (700, 300))
    image, _, coverage = Reader(parse_url(tmp_path / "heatmap.ome.zarr", mode="r"))()
    assert [level.shape for level in image.data] == [(1, 700, 300), (1, 350, 150), (1, 175, 75)]
    assert image.metadata["channel_names"] == ["tumour"]
    assert image.metadata["contrast_limits"] == [[0, 65535]]
    assert image.metadata["coordinateTransformations"][0][0]["scale"] == [1.0, 1.3, 1.3]
    assert len(coverage.data) == 3
    np.testing.assert_array_equal(np.asarray(coverage.data[0]), covered)


def test_a_slide_is_a_handful_of_files_and_no_chunk_is_missing(tmp_path):
    _, _, group = written(tmp_path / "heatmap.ome.zarr", (1200, 900))
    chunks = [key for key in files_of(tmp_path) if "/c/" in key]
    assert len(chunks) == 2 * count_levels(group) == 8
    assert group["s0"].nchunks_initialized == group["s0"].nchunks
    empty = np.zeros((600, 600), np.float32)
    blank = write_heatmap(tmp_path / "blank.zarr", [(0, empty, empty > 0)], (600, 600), **DESCRIBED)
    assert blank["s0"].nchunks_initialized == blank["s0"].nchunks > 0


def test_a_flipped_bit_does_not_pass(tmp_path):
    written(tmp_path / "heatmap.ome.zarr", (300, 300))
    (file,) = (tmp_path / "heatmap.ome.zarr" / "s0" / "c").rglob("0/0/0")
    stored = bytearray(file.read_bytes())
    stored[len(stored) // 3] ^= 1
    file.write_bytes(stored)
    with pytest.raises(Exception, match=r"(?i)zstd|checksum|decompress|corrupt"):
        open_group(tmp_path / "heatmap.ome.zarr")["s0"][:]


def test_the_same_heatmap_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _, _, group = written(tmp_path / name / "heatmap.ome.zarr", (600, 520))
        write_ome_tiff(tmp_path / name / "heatmap.ome.tif", group, quantity="probability")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.parametrize("shape", [(1, 1), (100, 90), (700, 300), (513, 1025)])
def test_ome_tiff_as_tifffile_reads_it(tmp_path, shape):
    _, _, group = written(tmp_path / "heatmap.ome.zarr", shape)
    write_ome_tiff(tmp_path / "heatmap.ome.tif", group, quantity="probability")
    with tifffile.TiffFile(tmp_path / "heatmap.ome.tif") as tiff:
        assert tiff.is_bigtiff
        assert tiff.is_ome
        (series,) = tiff.series
        assert [level.shape for level in series.levels] == level_shapes(shape)
        for level, stored in enumerate(series.levels):
            page = stored.pages[0]
            assert (page.tile, page.compression.name) == ((256, 256), "ADOBE_DEFLATE")
            expected = np.rint(group[f"s{level}"][0] / 257).astype(np.uint8)
            np.testing.assert_array_equal(stored.asarray(), expected)
            resolution = page.tags["XResolution"].value
            np.testing.assert_allclose(1e4 * resolution[1] / resolution[0], 1.3 * 2**level, 1e-6)
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["SizeC"], pixels["SizeY"], pixels["SizeX"]) == (1, *shape)
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (1.3, 1.3)
    assert (pixels["PhysicalSizeXUnit"], pixels["Type"]) == ("µm", "uint8")
    assert pixels["Channel"]["Name"] == "tumour"
    assert pixels["Channel"]["Color"] % 2**32 == 0xD55E00FF


def test_class_names_are_text_not_markup(tmp_path):
    name = 'tumour <"1"> & more'
    _, _, group = written(tmp_path / "heatmap.ome.zarr", (20, 20), channels={name: (213, 94, 0)})
    write_ome_tiff(tmp_path / "heatmap.ome.tif", group, quantity="probability")
    with tifffile.TiffFile(tmp_path / "heatmap.ome.tif") as tiff:
        channel = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]["Channel"]
    assert channel["Name"] == name


def test_coarsest_level_for_a_picture(tmp_path):
    _, _, group = written(tmp_path / "heatmap.ome.zarr", (700, 300))
    assert [level_for(group, n) for n in (10, 175, 176, 350, 351, 5000)] == [2, 2, 1, 1, 0, 0]


def test_finest_level_under_a_cap(tmp_path):
    _, _, group = written(tmp_path / "heatmap.ome.zarr", (700, 300))
    assert [finest_level(group, n) for n in (210_000, 209_999, 52_500, 10)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 10), (20, 10)], "begins at row 20; the heatmap of .* continues at row 10"),
        ([(0, 10)], "end at row 10, the heatmap has 30"),
    ],
)
def test_bands_that_do_not_fill_the_heatmap(tmp_path, rows, message):
    bands = [(row, np.zeros((n, 8), np.float32), np.zeros((n, 8), bool)) for row, n in rows]
    with pytest.raises(ValueError, match=f"slide-1: .*{message}"):
        write_heatmap(tmp_path / "heatmap.ome.zarr", bands, (30, 8), **DESCRIBED)


GROWTH = """
import sys
from pathlib import Path
import numpy as np
from workflow.lib.maps import pyramids
from workflow.lib.maps.pyramids import write_heatmap, write_ome_tiff
from workflow.lib.maps.stitching import stitch

pyramids.SHARD_BYTES = 1 << 21

class Drawn:
    def __init__(self, count):
        self.shape = (count, 128, 128)
    def __getitem__(self, rows):
        return np.full((rows.stop - rows.start, 128, 128), rows.start % 60000, np.uint16)

rows, cols, folder = int(sys.argv[1]), 2048, Path(sys.argv[2])
grid = np.array([(y, x) for y in range(0, rows, 128) for x in range(0, cols, 128)])
bands = stitch(Drawn(len(grid)), grid, (rows, cols), downsample=1, window="hann")
group = write_heatmap(
    folder / "heatmap.ome.zarr", bands, (rows, cols),
    mpp=1.0, mpp0=0.25, name="s", channels={"tumour": (213, 94, 0)},
)
write_ome_tiff(folder / "heatmap.ome.tif", group, quantity="probability")
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the process that forked
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slide(tmp_path):
    """Ten times the height takes no more than the shards in flight, one per level."""
    used = []
    for rows in (2560, 25_600):
        folder = tmp_path / str(rows)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", GROWTH, str(rows), str(folder)],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        used.append(int(done.stdout))
    assert used[1] - used[0] < 40  # MB; the heatmap has 105 MB as uint16, 210 MB as float32
