from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from detection.structures.arrays import FloatArray
from detection.structures.boxes import box_iou
from proposals.multibox.training.priors import kmeans_priors, match_priors, relative_distances


def random_boxes(count: int, seed: int = 0) -> FloatArray:
    generator = np.random.default_rng(seed)
    sides = np.exp(generator.uniform(np.log(0.05), np.log(0.9), (count, 2)))
    corners = generator.uniform(0, 1 - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def test_distance_is_in_sides_of_the_box() -> None:
    # Width 0.2, height 0.4; the prior's corners are off by half a width, nothing, a width and a quarter of the height.
    box = np.array([[0.2, 0.2, 0.4, 0.6]], np.float32)
    prior = np.array([[0.3, 0.2, 0.6, 0.5]], np.float32)
    np.testing.assert_allclose(relative_distances(box, prior), [[0.25 + 0 + 1 + 0.0625]], rtol=1e-5)


def test_distances_against_a_loop() -> None:
    boxes, priors = random_boxes(20), random_boxes(7, seed=1)
    expected = np.empty((20, 7))
    for i, box in enumerate(boxes.astype(float)):
        sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        for j, prior in enumerate(priors.astype(float)):
            expected[i, j] = (((box - prior) / sides) ** 2).sum()
    np.testing.assert_allclose(relative_distances(boxes, priors), expected, rtol=1e-3, atol=1e-3)


def test_box_without_area_has_finite_distances() -> None:
    assert np.isfinite(relative_distances(np.full((1, 4), 0.5, np.float32), random_boxes(3))).all()


def test_no_boxes() -> None:
    assert relative_distances(np.zeros((0, 4), np.float32), random_boxes(3)).shape == (0, 3)


def test_finds_clusters() -> None:
    """There are 40 boxes within 2% of the side around each of three boxes, which the priors must find."""
    centres = np.array([[0.1, 0.1, 0.9, 0.9], [0.1, 0.1, 0.3, 0.3], [0.6, 0.6, 0.7, 0.7]])
    generator = np.random.default_rng(0)
    boxes = np.concatenate(
        [centre + generator.uniform(-0.02, 0.02, (40, 4)) * (centre[2] - centre[0]) for centre in centres]
    )
    priors = kmeans_priors(boxes, 3, seed=2)
    assert priors.dtype == np.float32
    for centre, prior in zip(centres, priors, strict=True):  # the largest first
        np.testing.assert_allclose(prior, centre, atol=0.01 * (centre[2] - centre[0]))


def test_mean_of_a_cluster_is_weighted_by_size() -> None:
    # Weights 1 / side^2: 1 / 0.1^2 = 100, 1 / 0.2^2 = 25. x1: (100 x 0 + 25 x 0.1) / 125 = 0.02; x2: 17.5 / 125.
    boxes = np.array([[0, 0, 0.1, 0.1], [0.1, 0, 0.3, 0.2]])
    np.testing.assert_allclose(kmeans_priors(boxes, 1, seed=0), [[0.02, 0, 0.14, 0.12]], atol=1e-6)


def test_more_priors_are_nearer() -> None:
    boxes = random_boxes(600)
    found = [kmeans_priors(boxes, count, seed=0) for count in (5, 20, 80)]
    errors = [relative_distances(boxes, priors).min(axis=1).mean() for priors in found]
    assert errors[0] > errors[1] > errors[2]
    random = boxes[np.random.default_rng(3).choice(600, 80, replace=False)]
    assert errors[2] < 0.8 * relative_distances(boxes, random).min(axis=1).mean()


def test_small_boxes_are_covered_better_than_with_plain_distances() -> None:
    boxes = random_boxes(2000)
    start = boxes[np.random.default_rng(0).choice(2000, 200, replace=False)]
    plain = kmeans2(boxes, start, minit="matrix", missing="raise", iter=30)[0].astype(np.float32)
    small = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) < 0.02
    assert small.sum() > 200
    ours = box_iou(boxes[small], kmeans_priors(boxes, 200, seed=0)).max(axis=1).mean()
    assert ours > box_iou(boxes[small], plain).max(axis=1).mean() + 0.03


def test_as_many_priors_as_boxes_are_the_boxes() -> None:
    boxes = random_boxes(6)
    found = kmeans_priors(boxes, 6, seed=0)
    np.testing.assert_allclose(found[np.lexsort(found.T)], boxes[np.lexsort(boxes.T)], atol=1e-6)


def test_priors_depend_on_the_seed_alone() -> None:
    boxes = random_boxes(200)
    first, again, other = (kmeans_priors(boxes, 10, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_too_few_different_boxes() -> None:
    with pytest.raises(ValueError, match="expected at least 3 different boxes for 3 priors, got 2"):
        kmeans_priors(random_boxes(2)[[0, 1, 0, 1]], 3, seed=0)


def boxes_within(count: int, generator: np.random.Generator) -> FloatArray:
    corners = generator.uniform(0, 0.5, (count, 2))
    return np.concatenate([corners, corners + generator.uniform(0.05, 0.5, (count, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_least_total_distance_by_brute_force(seed: int) -> None:
    generator = np.random.default_rng(seed)
    priors, boxes = boxes_within(6, generator), boxes_within(int(generator.integers(1, 5)), generator)
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
    matches = match_priors(boxes_within(3, generator), boxes_within(9, generator))
    assert sorted(matches.priors) == [0, 1, 2]
    assert len(set(matches.boxes)) == 3


def test_no_objects() -> None:
    matches = match_priors(boxes_within(3, np.random.default_rng(0)), np.zeros((0, 4), np.float32))
    assert matches.priors.shape == matches.boxes.shape == (0,)
    assert matches.priors.dtype == np.int64
