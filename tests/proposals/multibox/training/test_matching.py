from __future__ import annotations

import itertools

import numpy as np
import pytest

from detection.structures.arrays import FloatArray
from proposals.multibox.priors import relative_distances
from proposals.multibox.training.matching import match_priors


def random_boxes(count: int, generator: np.random.Generator) -> FloatArray:
    corners = generator.uniform(0, 0.5, (count, 2))
    return np.concatenate([corners, corners + generator.uniform(0.05, 0.5, (count, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_least_total_distance_by_brute_force(seed: int) -> None:
    generator = np.random.default_rng(seed)
    priors, boxes = random_boxes(6, generator), random_boxes(int(generator.integers(1, 5)), generator)
    distances = relative_distances(boxes, priors)
    least = min(
        sum(distances[box, prior] for box, prior in enumerate(chosen))
        for chosen in itertools.permutations(range(6), len(boxes))
    )
    matches = match_priors(priors, boxes)
    assert sorted(matches.boxes) == list(range(len(boxes)))
    assert len(set(matches.priors)) == len(boxes)
    assert distances[matches.boxes, matches.priors].sum() == pytest.approx(least, rel=1e-5)


def test_two_objects_never_share_a_prior() -> None:
    # Both boxes are nearest to the first prior; the second one is next to it, for the box that is shifted towards it.
    priors = np.array([[0, 0, 0.2, 0.2], [0.1, 0, 0.3, 0.2], [0.6, 0.6, 0.9, 0.9]], np.float32)
    boxes = np.array([[0.04, 0, 0.24, 0.2], [0, 0, 0.2, 0.2]], np.float32)
    assert relative_distances(boxes, priors).argmin(axis=1).tolist() == [0, 0]
    matches = match_priors(priors, boxes)
    assert dict(zip(matches.boxes.tolist(), matches.priors.tolist(), strict=True)) == {0: 1, 1: 0}


def test_more_objects_than_priors() -> None:
    generator = np.random.default_rng(0)
    matches = match_priors(random_boxes(3, generator), random_boxes(9, generator))
    assert sorted(matches.priors) == [0, 1, 2]
    assert len(set(matches.boxes)) == 3


def test_no_objects() -> None:
    matches = match_priors(random_boxes(3, np.random.default_rng(0)), np.zeros((0, 4), np.float32))
    assert matches.priors.shape == matches.boxes.shape == (0,)
    assert matches.priors.dtype == np.int64
