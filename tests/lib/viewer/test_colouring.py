"""Codes as pictures."""

import io

import numpy as np
from PIL import Image

from workflow.lib.report.colours import probability_colours
from workflow.lib.viewer.colouring import (
    encode_codes,
    encode_pixels,
    flat_palette,
    probability_codes,
    probability_palette,
)


def decode(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def test_codes_come_back_as_their_colours():
    palette = flat_palette([(1, 2, 3), (4, 5, 6)])
    shown = decode(encode_codes(np.array([[0, 1, 2], [3, 2, 1]], np.uint8), palette))
    assert shown[..., 3].tolist() == [[0, 255, 255], [255, 255, 255]]
    assert shown[0, 1:, :3].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert shown[1, :, :3].tolist() == [[1, 2, 3], [4, 5, 6], [1, 2, 3]]


def test_what_is_improbable_is_clear():
    palette = probability_palette()
    assert palette[0, 3] == 0 and palette[255, 3] == 255
    assert (np.diff(palette[:, 3].astype(int)) >= 0).all()
    shown = decode(encode_codes(np.array([[51]], np.uint8), palette))[0, 0]
    assert shown.tolist() == [*probability_colours(np.array(0.2)).tolist(), round(255 * 0.2**0.8)]


def test_codes_of_probabilities():
    given = np.array([0.0, 0.5, 1.0, 2.0, -1.0, np.nan])
    assert probability_codes(given).tolist() == [0, 128, 255, 255, 0, 0]


def test_pixels_keep_their_colours():
    pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert abs(decode(encode_pixels(pixels))[..., :3].astype(int) - pixels).max() <= 3
