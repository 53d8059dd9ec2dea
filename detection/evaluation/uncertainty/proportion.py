"""The interval of a share of right answers over other images of the same kind."""

from detection.evaluation.uncertainty.bootstrap import CONFIDENCE, Interval


def wilson_interval(right: int, count: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the score interval of a share `right / count` (Wilson, JASA 22, 1927), or nan if `count` is 0.

    The interval holds the shares p from which the observed share is at most z standard errors sqrt(p (1 - p) / count)
    away. It is valid for few images and for shares of 0 and 1, where resampling finds no variation.

    Raises:
        ValueError: if `right` lies outside 0 to `count`.
    """
    if not 0 <= right <= count:  # SciPy 1.18 raises no error for it
        raise ValueError(f"right: expected 0 to {count}, got {right}")
    if not count:
        return Interval(float("nan"), float("nan"))
    from scipy.stats import binomtest  # noqa: PLC0415  slow to import

    return Interval(*binomtest(right, count).proportion_ci(confidence, "wilson"))
