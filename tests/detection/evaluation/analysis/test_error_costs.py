"""The cost of each type of error: by hand, and compared with the paper's definitions written as loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from detection.evaluation.analysis.error_types import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    ERROR_NAMES,
    LOCALISATION,
    NO_ERROR,
    error_costs,
)
from detection.evaluation.metrics import DetectionMetrics
from detection.evaluation.rules import COCO_AT_HALF, ILSVRC, VOC, VOC2007, MatchingRule
from tests.detection.evaluation.analysis.error_examples import (
    CAT,
    DOG,
    Annotated,
    Found,
    errors_of,
    random_metrics,
    scored,
    square,
)


def costs(metrics: DetectionMetrics) -> dict[str, float]:
    """Return the costs that are not 0."""
    found = error_costs(metrics, errors_of(metrics))
    assert list(found) == list(ERROR_NAMES)
    return {name: cost.mean_average_precision for name, cost in found.items() if cost.mean_average_precision}


def test_cost_of_dropped_errors_by_hand() -> None:
    # One cat, found third; a duplicate, behind it, costs nothing. AP is 1/3; without the background box 1/2, without
    # the box of both errors (0.25 of the dog) 1/2. The dog is missed: AP 0, and no precision to go on with. Mean of 2.
    objects = [Annotated(CAT, square(0)), Annotated(DOG, square(100))]
    found = [
        Found(CAT, 0.9, square(300)),
        Found(CAT, 0.8, square(100, 40, 10)),
        Found(CAT, 0.7, square(0)),
        Found(CAT, 0.6, square(0)),
    ]
    metrics = scored(objects, found)
    assert metrics.mean_average_precision == pytest.approx(1 / 6)
    gain = (1 / 2 - 1 / 3) / 2
    assert costs(metrics) == {"both": pytest.approx(gain), "background": pytest.approx(gain)}
    counts = {name: cost.error_count for name, cost in error_costs(metrics, errors_of(metrics)).items()}
    assert counts == {
        "classification": 0,
        "localisation": 0,
        "both": 1,
        "duplicate": 1,
        "background": 1,
        "missed": 1,
    }


def test_cost_of_duplicates_and_missed_objects_by_hand() -> None:
    # Cats: hit, duplicate, hit, and two never found: 1/4 + 2/3 / 4 = 5/12. Without the duplicate 2/4. With two objects
    # in all: 1/2 + 2/3 / 2 = 5/6.
    objects = [Annotated(CAT, square(x)) for x in (0, 100, 200, 300)]
    found = [Found(CAT, 0.9, square(0)), Found(CAT, 0.8, square(0)), Found(CAT, 0.7, square(100))]
    assert costs(scored(objects, found)) == {
        "duplicate": pytest.approx(2 / 4 - 5 / 12),
        "missed": pytest.approx(5 / 6 - 5 / 12),
    }


def test_cost_of_classification_by_hand() -> None:
    # The dog is called a cat at 0.9 and at 0.8, and a dog at 0.7; the cat is found at 0.6. Cats: miss, miss, hit: 1/3.
    # Dogs: 1. Mended: the dog is found at 0.9, the two others of it are dropped; cats 1, dogs 1: 2/3 / 2 gained.
    objects = [Annotated(CAT, square(0)), Annotated(DOG, square(100))]
    found = [
        Found(CAT, 0.9, square(100)),
        Found(CAT, 0.8, square(100)),
        Found(DOG, 0.7, square(100)),
        Found(CAT, 0.6, square(0)),
    ]
    assert costs(scored(objects, found)) == {"classification": pytest.approx(1 / 3)}


def test_cost_of_localisation_by_hand() -> None:
    # Two cats. The first has a bad box at 0.9 and a good one at 0.7, the second a bad one at 0.8: miss, miss, hit:
    # 1/3 / 2 = 1/6. Mended: hit, hit: 1. The dog is found and keeps its 1: 5/6 / 2 gained.
    objects = [Annotated(CAT, square(0)), Annotated(CAT, square(100)), Annotated(DOG, square(200))]
    found = [
        Found(CAT, 0.9, square(0, 40, 16)),
        Found(CAT, 0.8, square(100, 40, 16)),
        Found(CAT, 0.7, square(0)),
        Found(DOG, 0.6, square(200)),
    ]
    assert costs(scored(objects, found)) == {"localisation": pytest.approx(5 / 12)}


def test_nothing_to_find_or_nothing_found() -> None:
    for objects, found, missed in (
        ([], [], 0),
        ([], [Found(CAT, 0.5, square(0))], 0),
        ([Annotated(CAT, square(0))], [], 1),
    ):
        metrics = scored(objects, found)
        result = error_costs(metrics, errors_of(metrics))
        assert result["missed"].error_count == missed
        assert result["background"].error_count == len(found)
        assert all(math.isnan(item.mean_average_precision) != bool(objects) for item in result.values())


def iou(box: Sequence[float], other: Sequence[float]) -> float:
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (box[2] * box[3] + other[2] * other[3] - shared) if shared else 0.0


def naive_errors(metrics: DetectionMetrics) -> tuple[list[int], list[int], set[int]]:
    """The definitions of the paper as loops: return types and targets of the detections, and the missed objects."""
    objects, detections, matches = metrics.objects, metrics.detections, metrics.matches
    thresholds = matches.rule.iou_thresholds(objects.boxes)
    types, targets = [], []
    for row in range(len(detections)):
        best: dict[bool, tuple[float, int]] = {True: (0.0, -1), False: (0.0, -1)}
        for place in range(len(objects)):
            if objects.images[place] == detections.images[row] and not objects.ignored[place]:
                same = bool(objects.labels[place] == detections.labels[row])
                overlap = iou(detections.boxes_xywh[row], objects.boxes_xywh[place])
                if overlap and overlap / thresholds[place] > best[same][0]:
                    best[same] = (overlap / thresholds[place], place)
        (own, own_place), (other, other_place) = best[True], best[False]
        kind, target = BOTH, -1
        if matches.outcomes[row] != 0:
            kind = NO_ERROR
        elif 0.2 <= own < 1:
            kind, target = LOCALISATION, own_place
        elif other >= 1:
            kind, target = CLASSIFICATION, other_place
        elif own >= 1:
            kind = DUPLICATE
        elif max(own, other) < 0.2:
            kind = BACKGROUND
        types.append(kind)
        targets.append(target)
    found = {int(taken) for taken, outcome in zip(matches.objects, matches.outcomes, strict=True) if outcome == 1}
    counted = {place for place in range(len(objects)) if not objects.ignored[place]}
    return types, targets, counted - found - set(targets)


def naive_area(flags: Sequence[bool], count: int, levels: Sequence[float] | None) -> float:
    points = [(sum(flags[:rank]) / count, sum(flags[:rank]) / rank) for rank in range(1, len(flags) + 1)]
    if levels is not None:
        return sum(max((p for r, p in points if r >= level), default=0.0) for level in levels) / len(levels)
    hits = [rank for rank, flag in enumerate(flags) if flag]
    return sum(max(p for _, p in points[rank:]) for rank in hits) / count


def naive_map(metrics: DetectionMetrics, ranked: Sequence[tuple[int, bool]], counts: Sequence[int]) -> float:
    areas = []
    for label, objects in enumerate(metrics.ground_truth_counts):
        flags = [right for item, right in ranked if item == label]
        if objects:
            levels = metrics.matches.rule.recall_levels
            areas.append(naive_area(flags, counts[label], levels) if counts[label] else 0.0)
    return sum(areas) / len(areas)


def naive_costs(metrics: DetectionMetrics) -> dict[str, float]:
    """The corrections of the paper, applied to one detection after the other from the best on."""
    types, targets, missed = naive_errors(metrics)
    matches, counts = metrics.matches, metrics.ground_truth_counts.tolist()
    ranked = [int(row) for row in matches.order if matches.outcomes[row] != 2]
    labels = metrics.detections.labels.tolist()
    before = naive_map(metrics, [(labels[row], matches.outcomes[row] == 1) for row in ranked], counts)
    gains = {}
    for kind, name in enumerate(ERROR_NAMES[:-1]):
        mended: list[tuple[int, bool]] = []
        taken: set[int] = set()
        for row in ranked:
            right = bool(matches.outcomes[row] == 1)
            if right or (types[row] == kind and kind in (CLASSIFICATION, LOCALISATION)):
                target = int(matches.objects[row]) if right else targets[row]
                if target not in taken:
                    taken.add(target)
                    mended.append((int(metrics.objects.labels[target]), True))
            elif types[row] != kind:
                mended.append((labels[row], False))
        gains[name] = naive_map(metrics, mended, counts) - before
    left = [count - sum(metrics.objects.labels[item] == label for item in missed) for label, count in enumerate(counts)]
    after = naive_map(metrics, [(labels[row], matches.outcomes[row] == 1) for row in ranked], left)
    return gains | {"missed": after - before}


@pytest.mark.parametrize("rule", [ILSVRC, VOC, VOC2007, COCO_AT_HALF, "coco"])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_loops(rule: str | MatchingRule, seed: int) -> None:
    metrics = random_metrics(seed, rule)
    types, targets, missed = naive_errors(metrics)
    errors = errors_of(metrics)
    assert errors.types.tolist() == types
    assert errors.targets.tolist() == targets
    assert set(np.flatnonzero(errors.missed).tolist()) == missed
    assert set(types) == set(range(-1, 5))
    found = {name: item.mean_average_precision for name, item in error_costs(metrics, errors).items()}
    assert found == pytest.approx(naive_costs(metrics), abs=1e-12)
    assert min(found.values()) >= 0
    assert sum(gain > 0 for gain in found.values()) >= 4
