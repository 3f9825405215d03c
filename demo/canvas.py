"""What is drawn on: how much of each stain the tissue holds at each pixel."""

from dataclasses import dataclass

import cv2
import numpy as np

FRACTION_BITS = 4  # positions are drawn to a sixteenth of a pixel


@dataclass
class Canvas:
    """Two planes (height, width) uint8: a hundred times the concentration of each stain."""

    haematoxylin: np.ndarray
    eosin: np.ndarray

    def polygon(self, outline: np.ndarray, haematoxylin: float, eosin: float) -> None:
        """Fill an outline, (n, 2) positions (y, x), with one mix of stains."""
        points = np.round(outline[:, ::-1] * (1 << FRACTION_BITS)).astype(np.int32)
        for plane, amount in ((self.haematoxylin, haematoxylin), (self.eosin, eosin)):
            cv2.fillPoly(plane, [points], amount, cv2.LINE_AA, FRACTION_BITS)

    def ellipse(
        self,
        centre: tuple[float, float],
        semi_axes: tuple[float, float],
        direction: float,
        haematoxylin: float,
        eosin: float | None = None,
    ) -> None:
        """Fill an ellipse with one mix of stains.

        Args:
            centre: (y, x).
            semi_axes: along `direction` and across it, in px.
            direction: of the first axis, in radians from the x axis towards the y axis.
            haematoxylin: amount on the first plane.
            eosin: amount on the second; None leaves what is there.
        """
        one = 1 << FRACTION_BITS
        at = (round(centre[1] * one), round(centre[0] * one))
        axes = (round(semi_axes[0] * one), round(semi_axes[1] * one))
        angle = float(np.degrees(direction))
        for plane, amount in ((self.haematoxylin, haematoxylin), (self.eosin, eosin)):
            if amount is not None:
                cv2.ellipse(plane, at, axes, angle, 0, 360, amount, -1, cv2.LINE_AA, FRACTION_BITS)
