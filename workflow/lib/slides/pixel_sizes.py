"""How many micrometres a level-0 pixel measures, and who says so."""

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from workflow.lib.jobs.verdicts import Quarantine

# ASSUME: no scanner has pixels that differ more than this in width and height; a file that says so
# was edited or holds a calibration error, and areas would be wrong.
MAX_ANISOTROPY = 0.05

_MICROMETRES = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_PER_TIFF_UNIT = {"inch": 25400.0, "centimeter": 10000.0, "2": 25400.0, "3": 10000.0}


@dataclass(frozen=True)
class PixelSize:
    """Width and height of a pixel in um, and where that was found.

    A `fallback` comes from tags that programs also fill with screen resolutions: it counts only
    when it is plausible.
    """

    x_um: float
    y_um: float
    source: str
    fallback: bool = False


def number(text: str | None) -> float | None:
    """A finite number written with a point or a comma, else None.

    >>> number("0,4990"), number("nan"), number("1e4000"), number(None)
    (0.499, None, None, None)
    """
    try:
        value = float((text or "").strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def from_resolution(x: float | None, y: float | None, unit: str) -> PixelSize | None:
    """Pixel size from TIFF resolution tags: pixels per inch (2) or per centimetre (3).

    >>> from_resolution(40000.0, 40000.0, "centimeter").x_um
    0.25
    """
    length = _PER_TIFF_UNIT.get(unit.strip().lower())
    if length is None or not x or not y:
        return None
    return PixelSize(length / x, length / y, "tiff tags", fallback=True)


def from_ome(xml: str, width_px: int) -> PixelSize | None:
    """Pixel size of the image of `width_px` in OME-XML; None where it says nothing usable."""
    for element in re.findall(r"<(?:\w+:)?Pixels\s[^>]*>", xml):
        said = {
            key: html.unescape(value)
            for key, value in re.findall(r"""(\w+)\s*=\s*["']([^"']*)["']""", element)
        }
        if said.get("SizeX") != str(width_px):
            continue
        um = [
            value * _MICROMETRES[unit]
            for axis in "XY"
            if (value := number(said.get(f"PhysicalSize{axis}"))) is not None
            and (unit := said.get(f"PhysicalSize{axis}Unit", "µm")) in _MICROMETRES
        ]
        return PixelSize(*um, source="ome") if len(um) == 2 else None
    return None


def choose(
    name: str,
    sheet_mpp: float | None,
    stated: Sequence[PixelSize],
    *,
    mpp_min: float,
    mpp_max: float,
) -> tuple[float, str]:
    """The mpp of the slide `name` and its source: the sheet first, then `stated` in order.

    Raises Quarantine E_MPP when nobody states it, when it is outside [mpp_min, mpp_max] um or when
    width and height differ by more than 5%.
    """
    if sheet_mpp is not None:
        stated = [PixelSize(sheet_mpp, sheet_mpp, "sheet")]
    passed_over = []
    for size in stated:
        inside = all(mpp_min <= side <= mpp_max and side > 0 for side in (size.x_um, size.y_um))
        if size.fallback and not inside:
            passed_over.append(
                f" ({size.source} say {size.x_um:.4g} um, which looks like a screen resolution)"
            )
            continue
        if not inside:
            raise Quarantine(
                "E_MPP",
                f"{name}: a pixel of {size.x_um:.6g} um ({size.source}) is outside "
                f"{mpp_min:g} to {mpp_max:g} um.",
            )
        if abs(size.x_um - size.y_um) > MAX_ANISOTROPY * min(size.x_um, size.y_um):
            raise Quarantine(
                "E_MPP",
                f"{name}: pixels are {size.x_um:.4g} um wide and {size.y_um:.4g} um high "
                f"({size.source}); they should be square.",
            )
        return (size.x_um + size.y_um) / 2, size.source
    raise Quarantine(
        "E_MPP", f"{name}: the file states no usable pixel size{''.join(passed_over)}."
    )
