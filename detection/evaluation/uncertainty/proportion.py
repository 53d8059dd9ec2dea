"""How far a share of right answers would vary over other images of the same kind."""

from __future__ import annotations

from detection.evaluation.uncertainty.bootstrap import CONFIDENCE, Interval


def wilson_interval(right: int, count: int, *, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of a share `right / count`, within 0-1 (Wilson, JASA 22, 1927); nan where `count` is 0.

    The shares p for which the observed one is no further away than z of their standard errors, sqrt(p (1 - p) / count).
    It also holds for few images and for shares of 0 and 1, where resampling finds no variation.

    Raises:
        ValueError: if `right` lies outside 0 to `count`.
    """
    if not count:
        return Interval(float("nan"), float("nan"))
    from scipy.stats import binomtest  # noqa: PLC0415  slow to import

    return Interval(*binomtest(right, count).proportion_ci(confidence, "wilson"))
