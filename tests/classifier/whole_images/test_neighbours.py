"""Nearest neighbours agree with a loop over single distances."""

from __future__ import annotations

import math

import pytest
import torch

from classifier.whole_images.neighbours import nearest_neighbours


def test_by_hand() -> None:
    features = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]])
    indices, distances = nearest_neighbours(torch.tensor([[0.0, 0.0], [3.0, 3.0]]), features, 2)
    assert indices.tolist() == [[1, 2], [0, 2]]
    torch.testing.assert_close(distances, torch.tensor([[0.0, 1.0], [1.0, 13**0.5]]))


def test_agrees_with_one_distance_at_a_time() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, features = torch.randn(4, 16, generator=generator), torch.randn(60, 16, generator=generator)
    indices, distances = nearest_neighbours(queries, features, 7)
    for query, neighbours, lengths in zip(queries, indices.tolist(), distances.tolist(), strict=True):
        naive = [math.dist(query.tolist(), row.tolist()) for row in features]
        expected = sorted(range(60), key=lambda index: naive[index])[:7]
        assert neighbours == expected
        assert lengths == pytest.approx([naive[index] for index in expected], rel=1e-5)


def test_small_distances_far_from_the_origin_are_exact() -> None:
    # |a|^2 + |b|^2 - 2ab would have to find 1e-4 in 2e6, which float32 cannot hold.
    features = torch.full((40, 2), 1000.0)
    features[:, 0] += torch.arange(40, 0, -1) / 128
    indices, distances = nearest_neighbours(torch.full((40, 2), 1000.0), features, 3)
    assert indices[0].tolist() == [39, 38, 37]
    assert distances[0].tolist() == [1 / 128, 2 / 128, 3 / 128]


def test_ties_come_in_order() -> None:
    features = torch.tensor([[1.0], [-1.0], [0.5], [1.0]])
    assert nearest_neighbours(torch.zeros(1, 1), features, 4).indices.tolist() == [[2, 0, 1, 3]]


def test_fewer_features_than_asked_for_and_none() -> None:
    assert nearest_neighbours(torch.zeros(2, 3), torch.zeros(1, 3), 5).indices.shape == (2, 1)
    assert nearest_neighbours(torch.zeros(2, 3), torch.zeros(0, 3), 5).indices.shape == (2, 0)
    assert nearest_neighbours(torch.zeros(0, 3), torch.zeros(4, 3), 2).distances.shape == (0, 2)


@pytest.mark.parametrize(
    ("queries", "features", "count"),
    [((2, 3), (4, 2), 1), ((3,), (4, 3), 1), ((2, 3), (3,), 1), ((2, 3), (4, 3), -1)],
)
def test_bad_arguments(queries: tuple[int, ...], features: tuple[int, ...], count: int) -> None:
    with pytest.raises(ValueError, match="and a count of at least 0, got"):
        nearest_neighbours(torch.zeros(queries), torch.zeros(features), count)
