"""The rules are compared with the loops of their development kits on random data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.evaluation import score
from tests.detection.evaluation.rule_examples import Annotated, Found, make_split


def naive_score(rule: str, objects: Sequence[Annotated], found: Sequence[Found], label: int, *, images: int) -> float:
    """`eval_detection.m` or `VOCevaldet.m` for one class, written with loops over plain numbers."""
    ranked = [item for item in found if item.label == label]
    if rule == "ilsvrc":
        ranked.sort(key=lambda item: item.image)
    ranked.sort(key=lambda item: -item.score)
    class_objects = [item for item in objects if item.label == label]
    taken = [False] * len(class_objects)
    flags = []
    for item in ranked:
        best, best_overlap = -1, -1.0
        for k, truth in enumerate(class_objects):
            x1, y1, x2, y2 = truth.box
            area = (x2 - x1) * (y2 - y1)
            width, height = min(item.box[2], x2) - max(item.box[0], x1), min(item.box[3], y2) - max(item.box[1], y1)
            if truth.image != item.image or width <= 0 or height <= 0:
                continue
            own = (item.box[2] - item.box[0]) * (item.box[3] - item.box[1])
            overlap = width * height / (own + area - width * height)
            least = min(0.5, area / ((x2 - x1 + 10) * (y2 - y1 + 10))) if rule == "ilsvrc" else 0.0
            if rule == "ilsvrc" and (taken[k] or overlap < least):
                continue
            if overlap > best_overlap:
                best, best_overlap = k, overlap
        if best < 0 or (rule != "ilsvrc" and best_overlap < 0.5):
            flags.append(False)
        elif not class_objects[best].ignored:
            flags.append(not taken[best])
            taken[best] = True
    count = sum(not item.ignored for item in class_objects)
    if not count:
        return math.nan
    assert images > max((item.image for item in objects), default=0)
    return naive_eleven_points(flags, count) if rule == "voc2007" else naive_area(flags, count)


def naive_area(flags: Sequence[bool], count: int) -> float:
    recall, precision = [0.0], [0.0]
    for rank in range(1, len(flags) + 1):
        recall.append(sum(flags[:rank]) / count)
        precision.append(sum(flags[:rank]) / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def naive_eleven_points(flags: Sequence[bool], count: int) -> float:
    total = 0.0
    for level in range(11):
        reached = [
            sum(flags[:rank]) / rank for rank in range(1, len(flags) + 1) if 10 * sum(flags[:rank]) >= level * count
        ]
        total += max(reached, default=0.0)
    return total / 11


small_boxes = st.tuples(*[st.integers(0, 30)] * 4).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)
places = (st.integers(0, 2), st.integers(0, 1))


@pytest.mark.parametrize("rule", ["ilsvrc", "voc2007", "voc"])
@settings(derandomize=True, database=None, deadline=None, max_examples=100)
@given(
    st.lists(st.builds(Annotated, *places, small_boxes, st.just(False)), max_size=6),
    st.lists(st.builds(Found, *places, st.sampled_from([0.1, 0.5, 0.9]), small_boxes), max_size=10),
)
def test_agrees_with_the_kits(rule: str, objects: list[Annotated], found: list[Found]) -> None:
    metrics = score(*make_split(objects, found), rule)
    expected = [naive_score(rule, objects, found, label, images=3) for label in range(2)]
    np.testing.assert_allclose(metrics.average_precision, expected, atol=1e-12)


@pytest.mark.parametrize("rule", ["ilsvrc", "voc2007", "voc"])
def test_agrees_with_the_kits_on_many_boxes(rule: str) -> None:
    generator = np.random.default_rng(3)
    objects, found = [], []
    for image in range(3):
        for _ in range(12):
            x, y, width, height = (int(side) for side in generator.integers(5, 60, 4))
            label = int(generator.integers(2))
            ignored = rule != "ilsvrc" and bool(generator.random() < 0.2)  # of which its kit does not know
            objects.append(Annotated(image, label, (x, y, x + width, y + height), ignored))
            for _ in range(4):
                left, top, right, bottom = (int(off) for off in generator.integers(-5, 6, 4))
                box = (x + left, y + top, max(x + width + right, x + left), max(y + height + bottom, y + top))
                found.append(Found(image, label, round(float(generator.random()), 1), box))
    generator.shuffle(found)
    metrics = score(*make_split(objects, [Found(*item) for item in found]), rule)
    expected = [naive_score(rule, objects, [Found(*item) for item in found], label, images=3) for label in range(2)]
    np.testing.assert_allclose(metrics.average_precision, expected, atol=1e-12)
    assert 0.1 < metrics.mean_average_precision < 0.9
