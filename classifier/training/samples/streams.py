"""`RandomStream`: the numbers of the streams of random numbers that samples are drawn with."""

from enum import IntEnum, unique


@unique
class RandomStream(IntEnum):
    """A stream of `RowNumbers`. A run with other values would draw other samples from the same seed.

    `FIRST_BOXES` and `MORE_BOXES` are for boxes around the ground truth, `CHOICES` for the choice of proposals,
    `DISTORTIONS` for the pixels, and `POOLS` for the choice of groups and of regions in `RegionPool`.
    """

    FIRST_BOXES = 0
    MORE_BOXES = 1
    CHOICES = 2
    DISTORTIONS = 100
    POOLS = 101
