"""From a score to the share of right boxes among those with this score, so that 0.5 means that about half are right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import FloatArray

SMALLEST = 1e-12
"""Scores nearer to 0 or 1 count as so near."""

SMALLEST_AREA = 1e-4
"""Smaller boxes count as so large: 6x6 pixels of 600x600."""


class BetaCalibration:
    """Beta calibration: ln(c / (1 - c)) = a ln(s) - b ln(1 - s) + area ln(r) + offset for a score s.

    Kull, Silva Filho and Flach 2017, "Beta calibration: a well-founded and easily implemented improvement on logistic
    calibration for binary classifiers" (AISTATS). Ours is the term of r, the share of the image that the box takes: of
    two boxes with the same score the larger one is right more often where pictures are taken of things, as a small one
    may be a part of something. Without it the order of detections stays, and with it the average precision.
    `tools.calibrate_scores` finds the numbers.

    Args:
        a: at least 0.
        b: at least 0; with a = b it is Platt's scaling of the logit.
        offset: moves all shares up or down.
        area: exponent of r in the odds; above 0, larger boxes are preferred.

    Raises:
        ValueError: if a or b is negative, both are 0, or a number is not finite.
    """

    def __init__(self, a: float, b: float, offset: float, area: float = 0.0) -> None:
        if not (np.isfinite([a, b, offset, area]).all() and a >= 0 and b >= 0 and a + b > 0):
            numbers = f"{a=}, {b=}, {offset=}, {area=}"
            raise ValueError(f"expected finite numbers, a and b at least 0 and not both 0, got {numbers}")
        self.a = a
        self.b = b
        self.offset = offset
        self.area = area

    def __call__(self, scores: NDArray[np.floating], areas: NDArray[np.floating]) -> FloatArray:
        """Shares of the same shape, float32 in 0-1, of scores in 0-1 and areas as shares of the image."""
        low = np.clip(scores.astype(np.float64), SMALLEST, 1 - SMALLEST)
        logits = self.a * np.log(low) - self.b * np.log1p(-low) + self.offset
        if self.area:
            logits += self.area * np.log(np.clip(areas, SMALLEST_AREA, 1))
        shares: FloatArray = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return shares
