"""Calibration turns scores into probabilities that a box is right: about half of the boxes with 0.5 are right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import FloatArray

SMALLEST = 1e-12
"""Scores below this, or above 1 minus this, are moved to it, so that their logarithms are finite."""

SMALLEST_AREA = 1e-4
"""Boxes with a smaller share of the image count as this share, which is that of 6x6 pixels in 600x600."""


@dataclass(eq=False)
class BetaCalibration:
    """Beta calibration of a score s to a probability c: ln(c / (1 - c)) = a ln(s) - b ln(1 - s) + area ln(r) + offset.

    Kull, Silva Filho and Flach 2017, "Beta calibration: a well-founded and easily implemented improvement on logistic
    calibration for binary classifiers" (AISTATS). The term of r, the box's share of the image, is ours: of two boxes
    with the same score the larger one is right more often, because a small one may only hold a part of an object.
    Without this term the order of the detections does not change, and neither does the average precision.
    `detect-calibrate-scores` finds the values of the arguments.

    Args:
        a: at least 0.
        b: at least 0. With a = b, this is Platt scaling of the logit.
        offset: moves all probabilities up or down.
        area: the exponent of r in the odds c / (1 - c). Above 0, larger boxes get higher probabilities.

    Raises:
        ValueError: if a or b is negative, both are 0, or a number is not finite.
    """

    a: float
    b: float
    offset: float
    area: float = 0.0

    def __post_init__(self) -> None:
        finite = np.isfinite([self.a, self.b, self.offset, self.area]).all()
        if not (finite and self.a >= 0 and self.b >= 0 and self.a + self.b > 0):
            raise ValueError(f"expected finite numbers, a and b at least 0 and not both 0, got {self}")

    def __call__(self, scores: NDArray[np.floating], areas: NDArray[np.floating]) -> FloatArray:
        """Return the probabilities, float32 in 0-1, of scores in 0-1 and areas as shares of the image."""
        low = np.clip(scores.astype(np.float64), SMALLEST, 1 - SMALLEST)
        logits = self.a * np.log(low) - self.b * np.log1p(-low) + self.offset
        if self.area:
            logits += self.area * np.log(np.clip(areas, SMALLEST_AREA, 1))
        return (1 / (1 + np.exp(-np.maximum(logits, -700)))).astype(np.float32)


def mean_by_log_odds(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    """Return the probabilities whose log odds are the weighted mean of those of two probabilities.

    Args:
        first: [N], 0-1; has the weight 1 - `share`.
        second: [N], 0-1.
        share: the weight of `second`, 0-1.
    """
    logits = (1 - share) * _log_odds(first) + share * _log_odds(second)
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def _log_odds(scores: FloatArray) -> NDArray[np.float64]:
    probabilities = np.clip(scores.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(probabilities) - np.log1p(-probabilities)
