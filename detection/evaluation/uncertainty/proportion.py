"""How far a share of right answers would vary over other images of the same kind."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from detection.evaluation.uncertainty.bootstrap import CONFIDENCE, Interval


def wilson_interval(right: int, count: int, *, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of a share `right / count`, within 0-1 (Wilson, JASA 22, 1927); nan where `count` is 0.

    The shares p for which the observed one is no further away than z of their standard errors, sqrt(p (1 - p) / count).
    It also holds for few images and for shares of 0 and 1, where resampling finds no variation.

    Raises:
        ValueError: if `right` lies outside 0 to `count`.
    """
    if not 0 <= right <= count:
        raise ValueError(f"right must lie in 0 to {count}, got {right}")
    if not count:
        return Interval(float("nan"), float("nan"))
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / count
    centre = share + z**2 / (2 * count)
    spread = z * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low, high = ((centre + sign * spread) / (1 + z**2 / count) for sign in (-1, 1))
    return Interval(max(0.0, low), min(1.0, high))
