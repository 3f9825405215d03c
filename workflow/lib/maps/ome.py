"""What OME-Zarr 0.5 and OME-TIFF say about a heatmap, as plain JSON.

The transformations give micrometres in the frame of the slide: the centre of the slide's first
level-0 pixel is at 0, so that napari lays a heatmap exactly onto a slide that it scales by mpp.
"""

import uuid
from collections.abc import Mapping

from workflow.lib.tiles.codes import FULL

VERSION = "0.5"
_AXES = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "microtome/heatmap")


def image_attrs(
    levels: int, *, mpp: float, mpp0: float, name: str, channels: Mapping[str, str]
) -> dict:
    """Attributes of a heatmap group with levels s0, s1, ... (c, y, x).

    `mpp` is um per pixel of s0, `mpp0` of the slide's level 0; `channels` are class names and
    their colours as "#rrggbb".
    """
    axes = [{"name": "c", "type": "channel"}, *_AXES]
    window = {"start": 0, "end": FULL, "min": 0, "max": FULL}
    drawn = [
        {"label": label, "color": colour[1:], "active": True, "window": window}
        for label, colour in channels.items()
    ]
    return {
        "ome": {
            "version": VERSION,
            "multiscales": [_multiscale(levels, axes, mpp, mpp0, name, "mean")],
            "omero": {"name": name, "channels": drawn},
        }
    }


def labels_attrs(names: list[str]) -> dict:
    """Attributes of the group `labels`, which lists the label images beside an image."""
    return {"ome": {"version": VERSION, "labels": names}}


def coverage_attrs(levels: int, *, mpp: float, mpp0: float) -> dict:
    """Attributes of the label image `coverage` (y, x): 1 where a tile lies."""
    return {
        "ome": {
            "version": VERSION,
            "multiscales": [_multiscale(levels, _AXES, mpp, mpp0, "coverage", "maximum")],
            "image-label": {
                "colors": [{"label-value": 1, "rgba": [153, 153, 153, 96]}],
                "properties": [{"label-value": 1, "meaning": "covered by a tile"}],
                "source": {"image": "../../"},
            },
        }
    }


def tiff_metadata(image: dict, *, quantity: str) -> dict:
    """What tifffile turns into OME-XML, from the attributes of a heatmap group.

    `quantity` is what the values are: probability, or evidence that was scaled to 0..1.
    The identifier follows from the names, not from the clock: the same heatmap, the same bytes.
    """
    channels, described = image["ome"]["omero"]["channels"], image["ome"]["multiscales"][0]
    mpp = described["datasets"][0]["coordinateTransformations"][0]["scale"][-1]
    name, labels = described["name"], [channel["label"] for channel in channels]
    shown = f"{quantity.capitalize()} of {', '.join(labels)}"
    return {
        "axes": "CYX",
        "Name": name,
        "Description": f"{shown}: 255 is 1; 0 is none, or not looked at.",
        "PhysicalSizeX": mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": mpp,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": labels, "Color": [_signed_rgba(one["color"]) for one in channels]},
        "UUID": str(uuid.uuid5(_NAMES, "/".join([name, *labels]))),
        "Creator": "Microtome",
    }


def _multiscale(
    levels: int, axes: list[dict], mpp: float, mpp0: float, name: str, method: str
) -> dict:
    """The levels with their pixel size and the place of the centre of their first pixel."""
    other = len(axes) - 2
    datasets = []
    for level in range(levels):
        step = mpp * 2**level
        centre = (step - mpp0) / 2
        datasets.append(
            {
                "path": f"s{level}",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0] * other + [step, step]},
                    {"type": "translation", "translation": [0.0] * other + [centre, centre]},
                ],
            }
        )
    return {"name": name, "axes": axes, "datasets": datasets, "type": method}


def _signed_rgba(colour: str) -> int:
    """A 6-digit hex colour as OME-XML has it: opaque RGBA in a signed 32-bit number."""
    return int.from_bytes(bytes.fromhex(colour) + b"\xff", "big", signed=True)
