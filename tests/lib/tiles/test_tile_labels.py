"""Labels of tiles, worked out by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workflow.lib.slides.truth import read_mask
from workflow.lib.tiles import tile_labels
from workflow.lib.tiles.tile_labels import UNUSED, label_by_evidence, label_by_share, marked_shares

NORMAL, TUMOUR = 0, 1
SHARES = {"top_share": 0.2, "bottom_share": 0.4}


def label(tumour, good=None, *, of=TUMOUR, negative=NORMAL, **shares):
    tumour = np.asarray(tumour, float)
    good = np.ones(len(tumour), bool) if good is None else np.asarray(good, bool)
    evidence = np.stack([-tumour, tumour], axis=1)
    shares = SHARES | shares
    return label_by_evidence(evidence, good, label=of, negative=negative, **shares).tolist()


def test_the_most_and_the_least_evidence_by_hand():
    """Of ten tiles two are tumour, four normal, four are not used."""
    tumour = [5, 1, 9, 4, 8, 2, 0, 7, 3, 6]
    expected = [-1, 0, 1, -1, 1, 0, 0, -1, 0, -1]
    assert label(tumour) == expected
    assert label(tumour, negative=None) == [1 if e == 1 else -1 for e in expected]
    assert label(tumour, of=NORMAL) == [0] * 10
    # Without a negative class, a normal slide shows normal where tumour has the least evidence.
    assert label(tumour, of=NORMAL, negative=None) == [-1, 0, -1, -1, -1, -1, 0, -1, -1, -1]


def test_bad_tiles_are_not_used_and_do_not_count():
    assert label([9, 8, 7, 6, 5, 4], [0, 1, 1, 1, 1, 1]) == [-1, 1, -1, -1, 0, 0]
    assert label([9, 8], [0, 1], of=NORMAL) == [-1, 0]
    assert label([9, 8], [0, 0]) == [-1, -1] and label([]) == []


def test_a_slide_of_one_tile_shows_its_label():
    assert label([-3.0]) == [TUMOUR]
    assert label([1, 2], top_share=0.1, bottom_share=0.9) == [NORMAL, TUMOUR]


def test_equal_tiles_are_taken_in_their_order():
    assert label([1, 1, 1, 1, 1]) == [1, -1, -1, 0, 0]


def test_a_share_of_30_tiles_is_not_rounded_up():
    found = label(np.arange(30.0), top_share=0.1, bottom_share=0.1)
    assert (found.count(TUMOUR), found.count(NORMAL)) == (3, 3)


@settings(max_examples=60)
@given(st.lists(st.floats(-9, 9), max_size=30), st.floats(0.01, 1), st.floats(0, 1))
def test_tiles_with_more_evidence_are_never_labelled_lower(tumour, top, bottom):
    found = np.array(label(tumour, top_share=top, bottom_share=min(bottom, 1 - top)))
    tumour = np.array(tumour)
    if len(tumour):
        assert (found == TUMOUR).any()
        assert tumour[found == TUMOUR].min() >= tumour[found != TUMOUR].max(initial=-np.inf)
        assert tumour[found == NORMAL].max(initial=-np.inf) <= tumour[found != NORMAL].min()


def test_shares_of_a_drawn_mask_by_hand(monkeypatch):
    """A mask of 7 x 10 px, marked in rows 1 to 4 and columns 2 to 5; tiles of 4 px."""
    mask = np.zeros((7, 10), np.uint8)
    mask[1:5, 2:6] = 3
    read = []

    def rows(span):
        read.append(span)
        return mask[slice(*span)]

    corners = np.array([(4, 4), (0, 0), (0, 4), (4, 0), (2, 2), (0, 8)])
    # 1 x 2, 3 x 2, 3 x 2, 1 x 2, 3 x 4 and no marked pixels of 16
    expected = np.array([2, 6, 6, 2, 12, 0]) / 16
    about = {"tile_px": 4, "shape": (7, 10)}
    assert np.allclose(marked_shares(rows, corners, **about), expected)
    assert read == [(0, 7)]  # one band
    monkeypatch.setattr(tile_labels, "BAND_PX", 50)
    read.clear()
    assert np.allclose(marked_shares(rows, corners, **about), expected)
    assert read == [(0, 4), (2, 6), (4, 7)]  # of at most five rows, the last cut at the edge
    monkeypatch.setattr(tile_labels, "BAND_PX", 1)
    assert np.allclose(marked_shares(rows, corners, **about), expected)  # one row of tiles at least
    assert marked_shares(rows, corners[:0], **about).shape == (0,)


def test_labels_of_shares_by_hand():
    found = label_by_share(
        np.array([0.19, 0.2, 1.0, 0.0, 0.9]),
        np.array([1, 1, 1, 1, 0], bool),
        label=TUMOUR,
        negative=NORMAL,
        least=0.2,
    )
    assert found.tolist() == [NORMAL, TUMOUR, TUMOUR, NORMAL, UNUSED]
    assert found.dtype == np.int64


@pytest.mark.parametrize("least", [0.125, 0.375, 0.75])
def test_a_share_that_is_just_reached_counts(least):
    shares = np.array([2, 6, 12]) / 16
    found = label_by_share(shares, np.ones(3, bool), label=1, negative=0, least=least)
    assert found.tolist() == (shares >= least).astype(int).tolist()


def xml(outer, hole, shape):
    """The ring `outer` without the ring `hole`, in the layout `shape` of a program."""
    around, ring, corner, cut = shape
    rings = [
        ring.format("", " ".join(corner.format(x, y) for x, y in outer)),
        ring.format(cut, " ".join(corner.format(x, y) for x, y in hole)),
    ]
    return around.format("".join(rings))


ASAP = (
    "<ASAP_Annotations><Annotations>{}</Annotations></ASAP_Annotations>",
    "<Annotation Type='Polygon' {}><Coordinates>{}</Coordinates></Annotation>",
    "<Coordinate X='{}' Y='{}'/>",
    "PartOfGroup='Exclusion'",
)
APERIO = (
    "<Annotations><Annotation><Regions>{}</Regions></Annotation></Annotations>",
    "<Region {}><Vertices>{}</Vertices></Region>",
    "<Vertex X='{}' Y='{}'/>",
    "NegativeROA='1'",
)


@pytest.mark.parametrize("kind", ["geojson", "asap.xml", "aperio.xml", "png"])
def test_the_same_area_of_any_program_gives_the_same_labels(tmp_path, kind):
    outer = [(8, 0), (40, 0), (40, 16), (8, 16)]  # x, y in level-0 px
    hole = [(16, 4), (20, 4), (20, 12), (16, 12)]
    file = tmp_path / f"drawn.{kind}"
    if kind == "geojson":
        file.write_text(json.dumps({"type": "Polygon", "coordinates": [outer, hole]}))
    elif kind == "png":
        labels = np.zeros((16, 64), np.uint8)
        labels[:, 8:40] = 255
        labels[4:12, 16:20] = 0
        Image.fromarray(labels).save(file)
    else:
        file.write_text(xml(outer, hole, ASAP if kind.startswith("asap") else APERIO))
    about = {"shape_px0": (16, 64), "out_shape": (8, 32), "scale": 2.0}
    shares = marked_shares(
        lambda rows: read_mask(file, **about, rows=rows),
        np.array([[0, 0], [0, 8], [0, 16], [0, 24]]),
        tile_px=8,
        shape=(8, 32),
    )
    # of 64 px: the right half; all but a hole of 2 x 4; the left half; nothing
    assert shares.tolist() == [0.5, 56 / 64, 0.5, 0.0]
    labels = label_by_share(shares, np.ones(4, bool), label=1, negative=0, least=0.6)
    assert labels.tolist() == [0, 1, 0, 0]
