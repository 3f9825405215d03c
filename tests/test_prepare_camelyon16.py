"""prepare_camelyon16 on drawn slides: the rule by hand, mosaics that the workflow takes."""

import numpy as np
import pytest
import tifffile

from tests import configs
from workflow.lib.cohort.sheet import read_sheet
from workflow.lib.jobs.tables import read_table
from workflow.lib.slides.slides import open_reader
from workflow.lib.slides.truth import read_mask
from workflow.lib.tiles.tiling import TileSpec, grid, tissue_fraction
from workflow.tools import prepare_camelyon16
from workflow.tools.prepare_camelyon16 import MPP, main

# Tissue everywhere but in the fourth column of patches. x, y, width, height in level-0 px, group.
SIDE = 2048
TUMOUR = [
    (0, 0, 512, 128, "Tumor"),  # a quarter of patch (0, 0): A
    (512, 0, 512, 256, "_0"),  # half of (0, 1): A
    (1024, 0, 512, 512, "Tumor"), (1024, 0, 256, 512, "_2"),  # half of (0, 2) is cut out: A
    (0, 512, 1024, 512, "_1"),  # all of (1, 0) and (1, 1): B
    (1024, 512, 96, 512, "Tumor"),  # 0.1875 of (1, 2): too little
    (1536, 0, 512, 512, "Tumor"),  # all of (0, 3), which is glass
]  # fmt: skip
EXPECTED = {(0, 0): 0.25, (0, 1): 0.5, (0, 2): 0.5, (1, 0): 1.0, (1, 1): 1.0}


def draw(path, seed):
    """A pyramid of two levels: pink, every patch another shade, the fourth column white."""
    random = np.random.default_rng(seed)
    shades = random.integers(0, 40, (4, 4, 3))
    pixels = np.array([200, 100, 160]) + np.kron(shades, np.ones((512, 512, 1), int))
    pixels[:, 1536:] = 250
    pixels = pixels.astype(np.uint8)
    with tifffile.TiffWriter(path) as file:
        how = {"tile": (256, 256), "photometric": "rgb", "compression": "zlib"}
        file.write(pixels, subifds=0, **how)
        file.write(pixels[::4, ::4], subfiletype=1, **how)
    return pixels


def annotate(path, rectangles):
    drawn = []
    for x, y, width, height, group in rectangles:
        ring = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        corners = "".join(
            f'<Coordinate Order="{n}" X="{cx}" Y="{cy}"/>' for n, (cx, cy) in enumerate(ring)
        )
        drawn.append(
            f'<Annotation Name="a" Type="Polygon" PartOfGroup="{group}">'
            f"<Coordinates>{corners}</Coordinates></Annotation>"
        )
    text = "".join(drawn)
    path.write_text(f"<ASAP_Annotations><Annotations>{text}</Annotations></ASAP_Annotations>")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The challenge in small, in its folders, and what is made of it."""
    folder = tmp_path_factory.mktemp("camelyon16")
    for part in ("training/normal", "training/tumor", "testing/images", "annotations"):
        (folder / part).mkdir(parents=True)
    pixels = {
        name: draw(folder / part / f"{name}.tif", seed)
        for seed, (name, part) in enumerate(
            [("tumor_001", "training/tumor"), ("normal_001", "training/normal"),
             ("normal_002", "training/normal"), ("test_001", "testing/images"),
             ("test_002", "testing/images"), ("test_114", "testing/images")]
        )
    }  # fmt: skip
    (folder / "training/tumor/tumor_001_mask.tif").write_bytes(b"not looked at")
    annotate(folder / "annotations/tumor_001.xml", TUMOUR)
    annotate(folder / "annotations/test_001.xml", TUMOUR[:2])
    assert main([str(folder), str(folder / "out")]) == 0
    return folder, folder / "out", pixels


def patches(out, name):
    return read_table(out / "patches" / f"{name}.tsv")


def test_the_patches_are_those_of_the_rule(prepared):
    _, out, _ = prepared
    found = patches(out, "tumor_001")
    places = {(int(p["y_px0"]) // 512, int(p["x_px0"]) // 512): float(p["marked"]) for p in found}
    assert places == EXPECTED  # 3 of A and both of B: 3 * 0.392 / 0.608 = 1.93
    assert [p["category"] for p in found] == ["A", "A", "A", "B", "B"]
    normal = [len(patches(out, name)) for name in ("normal_001", "normal_002")]
    assert sorted(normal) == [2, 3]
    of_normal = [
        int(p["x_px0"]) for name in ("normal_001", "normal_002") for p in patches(out, name)
    ]
    assert max(of_normal) < 1536 and len(patches(out, "test_001")) == 2


def test_the_sheet_is_a_sheet_with_the_official_split(prepared):
    _, out, _ = prepared
    labels = configs.merged("camelyon16-512")["labels"]
    slides = read_sheet(out / "slides.tsv", classes=labels["classes"], labels_needed=True)
    assert {(s.slide, s.label, s.split, s.mask is not None) for s in slides} == {
        ("normal_001", "normal", "train", False), ("normal_002", "normal", "train", False),
        ("tumor_001", "tumour", "train", True),
        ("test_001", "tumour", "test", True), ("test_002", "normal", "test", False),
    }  # fmt: skip
    assert all(s.patient == s.slide and s.mpp == MPP for s in slides)


def test_every_patch_is_one_tile_of_the_workflow(prepared):
    _, out, pixels = prepared
    cut = configs.merged("camelyon16-512")["tile_slide"]
    listed = patches(out, "tumor_001")
    with open_reader(out / "mosaics/tumor_001.tif", mpp=MPP) as reader:
        shape = (reader.height_px0, reader.width_px0)
        spec = TileSpec(shape[1], shape[0], MPP, cut["mpp"], cut["tile_px"], cut["stride_px"])
        area = out / "areas/tumor_001.geojson"
        side = -(-shape[1] * MPP // 8)
        about = {"shape_px0": shape, "out_shape": (int(side * shape[0] / shape[1]), int(side))}
        share = tissue_fraction(read_mask(area, **about) > 0, spec, grid(spec))
        tiles = grid(spec)[share >= cut["min_tissue"]]
        assert len(tiles) == len(listed) == 5
        for (y, x), patch in zip(np.rint(tiles * spec.scale).astype(int), listed, strict=True):
            assert (y, x) == (512 * int(patch["row"]), 512 * int(patch["column"]))
            top, left = int(patch["y_px0"]), int(patch["x_px0"])
            expected = pixels["tumor_001"][top : top + 512, left : left + 512]
            assert (reader.read((int(y), int(x)), (512, 512)) == expected).all()


def test_masks_lie_as_the_patches_do(prepared):
    _, out, _ = prepared
    mask = tifffile.imread(out / "masks/tumor_001.tif")
    for patch in patches(out, "tumor_001"):
        y, x = 512 * int(patch["row"]), 512 * int(patch["column"])
        cell = mask[y : y + 512, x : x + 512]
        assert cell.mean() == float(patch["marked"])
    assert mask[:128, :512].all() and not mask[128:512, :512].any()
    assert read_mask(out / "masks/tumor_001.tif", shape_px0=mask.shape, out_shape=(2, 3)).max() == 1


def test_what_is_there_is_kept_and_another_choice_is_made_anew(prepared, monkeypatch, capsys):
    folder, out, _ = prepared
    written = []
    monkeypatch.setattr(
        prepare_camelyon16, "write_mosaic", lambda path, _, **__: written.append(path.name)
    )
    before = (out / "slides.tsv").read_bytes()
    assert main([str(folder), str(out)]) == 0
    assert not written and (out / "slides.tsv").read_bytes() == before
    (out / "patches/test_001.tsv").unlink()
    assert main([str(folder), str(out)]) == 0
    assert written == ["test_001.tif", "test_001.tif"]


def test_drafts_of_a_killed_command_go(prepared):
    folder, out, _ = prepared
    stale = [out / part / "test_001.99.part" for part in ("mosaics", "masks", "patches")]
    for file in stale:
        file.touch()
    assert main([str(folder), str(out)]) == 0
    assert not any(file.exists() for file in stale)


def test_a_count_far_from_the_published_one_is_told(prepared, monkeypatch, caplog):
    folder, out, _ = prepared  # 5 metastatic patches to train, 2 to test
    monkeypatch.setattr(prepare_camelyon16, "PUBLISHED", {"train": 5, "test": 3})
    assert main([str(folder), str(out)]) == 0
    told = [
        r for r in caplog.records if r.name == "prepare_camelyon16" and r.levelname == "WARNING"
    ]
    assert [r.getMessage() for r in told] == [
        "test: 2 metastatic patches are far from the published 3. 1 test slides count as normal "
        "because they have no annotation. Check that all slides and all XML files are there."
    ]


@pytest.mark.parametrize(
    "names, said",
    [
        ([], "has no slide such as normal_001.tif"),
        (["tumor_007.tif", "normal_001.tif"], "there is no annotation tumor_007.xml"),
        (["normal_001.tif", "test_001.tif"], "no test slide has an annotation"),
        (["normal_001.tif"], "normal_001.tif"),  # which is empty
    ],
)
def test_what_is_missing_is_named(tmp_path, capsys, names, said):
    for name in names:
        (tmp_path / name).touch()
    assert main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert said in capsys.readouterr().err
