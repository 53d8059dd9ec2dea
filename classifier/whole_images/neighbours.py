"""Nearest neighbours of images in the last hidden layer of a network (AlexNet, NIPS 2012, section 6.1)."""

from typing import NamedTuple

import torch
from torch import Tensor


class Neighbours(NamedTuple):
    """The K nearest neighbours of Q queries, nearest first: `indices` [Q, K] int64 and `distances` [Q, K] float32."""

    indices: Tensor
    distances: Tensor


def nearest_neighbours(queries: Tensor, features: Tensor, count: int) -> Neighbours:
    """Return the `count` features [N, F] that are nearest to each query [Q, F], or all if there are fewer.

    The distance is Euclidean. Ties keep the order of `features`.

    Raises:
        ValueError: if the shapes do not fit, or `count` is negative.
    """
    if queries.ndim != 2 or features.ndim != 2 or queries.shape[1] != features.shape[1] or count < 0:
        shapes = f"{list(queries.shape)}, {list(features.shape)}"
        raise ValueError(f"expected queries [Q, F], features [N, F] and a count of at least 0, got {shapes}, {count}")
    # By default PyTorch computes |a|^2 + |b|^2 - 2ab for many rows, which loses small distances to rounding.
    distances = torch.cdist(queries.float(), features.float(), compute_mode="donot_use_mm_for_euclid_dist")
    ordered, indices = distances.sort(dim=1, stable=True)
    return Neighbours(indices[:, :count], ordered[:, :count])
