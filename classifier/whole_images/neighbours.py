"""What a network takes to be alike: nearest neighbours in its last hidden layer (AlexNet, NIPS 2012, section 6.1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Neighbours(NamedTuple):
    """Of each of Q queries the K nearest, nearest first: `indices` [Q, K] int64, `distances` [Q, K] float32."""

    indices: Tensor
    distances: Tensor


def nearest_neighbours(queries: Tensor, features: Tensor, count: int) -> Neighbours:
    """The `count` features [N, F] at the least Euclidean distance from each query [Q, F], or all if there are fewer.

    Ties come in the order of `features`.

    Raises:
        ValueError: for shapes that do not fit, or a negative count.
    """
    if queries.ndim != 2 or features.ndim != 2 or queries.shape[1] != features.shape[1] or count < 0:
        shapes = f"{list(queries.shape)}, {list(features.shape)}"
        raise ValueError(f"expected queries [Q, F], features [N, F] and a count of at least 0, got {shapes}, {count}")
    # Not by |a|^2 + |b|^2 - 2ab, PyTorch's choice for many rows, which loses small distances to rounding.
    distances = torch.cdist(queries.float(), features.float(), compute_mode="donot_use_mm_for_euclid_dist")
    ordered, indices = distances.sort(dim=1, stable=True)
    return Neighbours(indices[:, :count], ordered[:, :count])
