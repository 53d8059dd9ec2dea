from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.datasets.stratified_split import stratified_split
from detection.structures.arrays import IntArray


def labels(*images: list[int]) -> list[IntArray]:
    return [np.array(image, np.int64) for image in images]


def test_each_class_has_its_share() -> None:
    images = labels(*([[0]] * 50 + [[1]] * 10 + [[2]] * 5 + [[]] * 20))
    smaller = stratified_split(images, share=0.2, seed=1)
    assert [int(smaller[rows].sum()) for rows in (slice(0, 50), slice(50, 60), slice(60, 65), slice(65, 85))] == [
        10,
        2,
        1,
        4,
    ]


def test_objects_are_counted_and_not_images() -> None:
    # Of 20 objects 4 belong into the smaller part: one of the images with 4 objects, or four of those with one.
    images = labels(*([[0] * 4] * 4 + [[0]] * 4))
    smaller = stratified_split(images, share=0.2, seed=3)
    objects = sum(len(image) for image, chosen in zip(images, smaller, strict=True) if chosen)
    assert 3 <= objects <= 5


def test_classes_with_one_or_two_images_are_in_the_larger_part() -> None:
    for seed in range(10):
        smaller = stratified_split(labels(*([[0]] * 10 + [[1], [2], [2]])), share=0.2, seed=seed)
        assert not smaller[10:].any()


def test_same_seed_gives_the_same_split() -> None:
    images = labels(*([[0], [1], [0, 1], []] * 10))
    first, second, other = (stratified_split(images, share=0.2, seed=seed).tolist() for seed in (1, 1, 2))
    assert first == second != other


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=2, max_size=30),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.integers(0, 3),
)
def test_neither_part_is_empty(images: list[list[int]], share: float, seed: int) -> None:
    smaller = stratified_split(labels(*images), share=share, seed=seed)
    assert smaller.shape == (len(images),)
    assert 0 < smaller.sum() < len(images)
    if sum(map(bool, images)) > 1:
        assert {bool(chosen) for chosen, image in zip(smaller, images, strict=True) if image} == {False, True}


def test_few_images() -> None:
    assert stratified_split([], share=0.2, seed=1).tolist() == []
    assert stratified_split(labels([0]), share=0.2, seed=1).tolist() == [False]
    # With a class for each image, the only image that is not the last of its class is held out.
    assert stratified_split(labels([0], [1], [2, 2, 2], [3]), share=0.2, seed=1).tolist() == [False, False, True, False]


@pytest.mark.parametrize("share", [0, -0.1, 0.6, float("nan")])
def test_impossible_share(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must be above 0 and up to 0\.5"):
        stratified_split(labels([0]), share=share, seed=1)
