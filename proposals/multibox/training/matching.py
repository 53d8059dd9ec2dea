"""Which prior answers for which object: one each, at the least total distance (arXiv 1312.2249, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from detection.structures.arrays import FloatArray, IntArray
from proposals.multibox.priors import relative_distances


class Matches(NamedTuple):
    """Pairs of a prior and an object: indices [P] and [P]."""

    priors: IntArray
    boxes: IntArray


def match_priors(priors: FloatArray, boxes: FloatArray) -> Matches:
    """The bipartite matching of least total distance between priors [K, 4] and boxes [M, 4], both normalised.

    Every box has a prior of its own; or every prior a box, where there are more boxes. The paper matches the
    predictions, and then, to keep them diverse, their priors instead, which is what is done here; so the result does
    not depend on the network. Distances are those that the priors were made by.
    """
    box_indices, prior_indices = linear_sum_assignment(relative_distances(boxes, priors))
    return Matches(prior_indices.astype(np.int64), box_indices.astype(np.int64))
