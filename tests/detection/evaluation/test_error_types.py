from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from detection.evaluation import score
from detection.evaluation.error_types import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    ERROR_NAMES,
    LOCALISATION,
    NO_ERROR,
    Errors,
    confusions,
    error_costs,
    find_errors,
)
from detection.evaluation.metrics import DetectionMetrics
from detection.evaluation.rules import COCO_AT_HALF, ILSVRC, VOC, VOC2007, MatchingRule
from detection.tables import DetectionTable, ObjectTable, split_index

NAMES = ("cat", "dog", "owl")
CAT, DOG, OWL = range(3)
Box = tuple[float, float, float, float]


class Annotated(NamedTuple):
    label: int
    box: Box
    ignored: bool = False
    image: int = 0


class Found(NamedTuple):
    label: int
    score: float
    box: Box
    image: int = 0


def square(x: float, side: float = 40, height: float | None = None) -> Box:
    """x, y, width, height."""
    return (x, 0, side, side if height is None else height)


def scored(objects: Sequence[Annotated], found: Sequence[Found], rule: str | MatchingRule = "voc") -> DetectionMetrics:
    index = split_index(["a", "b", "c"], NAMES)
    boxes = np.array([one.box for one in objects], np.float64).reshape(-1, 4)
    ignored = np.array([one.ignored for one in objects], np.bool_)
    images, labels = (np.array([one[at] for one in objects], np.int64) for at in (3, 0))
    truth = ObjectTable(index, images, labels, boxes, ignored, ignored, boxes[:, 2] * boxes[:, 3])
    table = DetectionTable(
        index,
        np.array([one.image for one in found], np.int64),
        np.array([one.label for one in found], np.int64),
        np.array([one.box for one in found], np.float64).reshape(-1, 4),
        np.array([one.score for one in found], np.float64),
    )
    return score(truth, table, rule)


def errors_of(metrics: DetectionMetrics) -> Errors:
    return find_errors(metrics.objects, metrics.detections, metrics.matches)


def costs(metrics: DetectionMetrics) -> dict[str, float]:
    """Those that are not 0."""
    found = error_costs(metrics, errors_of(metrics))
    assert list(found) == list(ERROR_NAMES)
    return {name: cost.mean_average_precision for name, cost in found.items() if cost.mean_average_precision}


def test_every_type_by_hand() -> None:
    # A cat in rows 0-40 of columns 0-40, a dog in columns 100-140, a difficult cat in columns 200-240. IoU is the
    # height over 40 for boxes of the right width.
    objects = [Annotated(CAT, square(0)), Annotated(DOG, square(100)), Annotated(CAT, square(200), ignored=True)]
    cases = [
        (Found(CAT, 0.90, square(0)), NO_ERROR),
        (Found(CAT, 0.80, square(0)), DUPLICATE),
        (Found(CAT, 0.70, square(0, 40, 16)), LOCALISATION),  # 0.4 of the cat, found or not
        (Found(CAT, 0.60, square(100)), CLASSIFICATION),  # the dog
        (Found(OWL, 0.55, square(0)), CLASSIFICATION),  # the cat
        (Found(CAT, 0.50, square(100, 40, 16)), BOTH),  # 0.4 of the dog
        (Found(CAT, 0.40, square(300)), BACKGROUND),
        (Found(CAT, 0.30, square(200)), NO_ERROR),  # ignored
        (Found(DOG, 0.20, square(200)), BACKGROUND),  # a difficult cat is no one's
        (Found(CAT, 0.10, square(300), image=1), BACKGROUND),  # an image without objects
    ]
    metrics = scored(objects, [found for found, _ in cases])
    errors = errors_of(metrics)
    assert errors.types.tolist() == [expected for _, expected in cases]
    assert errors.targets.tolist() == [-1, -1, 0, 1, 0, -1, -1, -1, -1, -1]
    assert errors.missed.tolist() == [False] * 3  # the dog would be found with the right class


def test_boundaries() -> None:
    # IoU 0.5 of another class is a classification error; just under it, both. IoU 0.1 is no background.
    objects = [Annotated(CAT, square(0))]
    heights = {20: CLASSIFICATION, 19.9: BOTH, 4: BOTH, 3.9: BACKGROUND}
    found = [Found(DOG, 0.5, square(0, 40, height)) for height in heights]
    assert errors_of(scored(objects, found)).types.tolist() == list(heights.values())
    own = {20: NO_ERROR, 19.9: LOCALISATION, 4: LOCALISATION, 3.9: BACKGROUND}
    found = [Found(CAT, 0.9 - 0.1 * place, square(0, 40, height)) for place, height in enumerate(own)]
    assert errors_of(scored(objects, found)).types.tolist() == list(own.values())


def test_order_of_what_fits_several() -> None:
    # A cat and an owl in the same place, found by the cat at 0.9: the second cat is a classification error before it
    # is a duplicate. Columns 0-16 overlap both by 0.4: localisation before both.
    objects = [Annotated(CAT, square(0)), Annotated(OWL, square(0))]
    found = [Found(CAT, 0.9, square(0)), Found(CAT, 0.8, square(0)), Found(CAT, 0.7, (0, 0, 16, 40))]
    assert errors_of(scored(objects, found)).types.tolist() == [NO_ERROR, CLASSIFICATION, LOCALISATION]


def test_small_objects_have_overlaps_of_their_own() -> None:
    # ILSVRC finds a dog of 10x10 at 100 / 400 = 0.25; a fifth of it is 0.05. VOC asks for 0.5 and 0.1.
    objects = [Annotated(DOG, square(0, 10))]
    shares = [0.25, 0.24, 0.05, 0.04]
    found = [Found(CAT, 0.5, square(0, 10, 10 * share)) for share in shares]
    assert errors_of(scored(objects, found, ILSVRC)).types.tolist() == [CLASSIFICATION, BOTH, BOTH, BACKGROUND]
    assert errors_of(scored(objects, found, VOC)).types.tolist() == [BOTH, BOTH, BACKGROUND, BACKGROUND]


def test_missed_objects() -> None:
    # The first is found, the second the target of a bad box; the third has a box of both errors; the fourth nothing.
    objects = [Annotated(CAT, square(x)) for x in (0, 100, 200, 300)]
    found = [Found(CAT, 0.9, square(0)), Found(CAT, 0.8, square(100, 40, 10)), Found(DOG, 0.7, square(200, 40, 10))]
    assert errors_of(scored(objects, found)).missed.tolist() == [False, False, True, True]


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
        assert all(math.isnan(one.mean_average_precision) != bool(objects) for one in result.values())


def random_metrics(seed: int, rule: str | MatchingRule, *, ignored: float = 0.1) -> DetectionMetrics:
    """Objects of all sizes close to each other in three images, boxes around them and anywhere, scores that tie."""
    generator = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(3):
        for _ in range(14):
            x, y, width, height = generator.integers(5, 60, 4).tolist()
            label = int(generator.integers(2))
            objects.append(Annotated(label, (x, y, width, height), bool(generator.random() < ignored), image))
            for _ in range(4):
                off = generator.normal(0, 0.25, 4) * (width, height, width, height)
                box = (x + off[0], y + off[1], max(width + off[2], 0), max(height + off[3], 0))
                guess = label if generator.random() < 0.6 else int(generator.integers(3))
                found.append(Found(guess, round(float(generator.random()), 2), box, image))
        found += [Found(int(generator.integers(3)), 0.5, (300 + 9 * far, 0, 9, 9), image) for far in range(3)]
    shuffled = [found[row] for row in generator.permutation(len(found))]
    return scored(objects, shuffled, rule)


def iou(box: Sequence[float], other: Sequence[float]) -> float:
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (box[2] * box[3] + other[2] * other[3] - shared) if shared else 0.0


def naive_errors(metrics: DetectionMetrics) -> tuple[list[int], list[int], set[int]]:
    """The definitions of the paper in loops: types and targets of the detections, and the missed objects."""
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
        flags = [right for one, right in ranked if one == label]
        if objects:
            levels = metrics.matches.rule.recall_levels
            areas.append(naive_area(flags, counts[label], levels) if counts[label] else 0.0)
    return sum(areas) / len(areas)


def naive_costs(metrics: DetectionMetrics) -> dict[str, float]:
    """The oracles of the paper, detection by detection from the best on."""
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
    left = [count - sum(metrics.objects.labels[one] == label for one in missed) for label, count in enumerate(counts)]
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
    found = {name: one.mean_average_precision for name, one in error_costs(metrics, errors).items()}
    assert found == pytest.approx(naive_costs(metrics), abs=1e-12)
    assert min(found.values()) >= 0
    assert sum(gain > 0 for gain in found.values()) >= 4


def test_coco_has_what_pycocotools_matches_at_half_overlap() -> None:
    metrics = random_metrics(2, "coco")
    ranked = metrics.matches.order[metrics.matches.outcomes[metrics.matches.order] != 2]
    for label, rankings in enumerate(metrics.rankings):
        rows = ranked[metrics.detections.labels[ranked] == label]
        np.testing.assert_array_equal(metrics.detections.scores[rows], rankings[0].scores)
        np.testing.assert_array_equal(metrics.matches.outcomes[rows] == 1, rankings[0].true_positive)
        np.testing.assert_array_equal(metrics.detections.images[rows], rankings[0].images)
    ours, theirs = (random_metrics(2, rule, ignored=0).matches for rule in (COCO_AT_HALF, "coco"))
    np.testing.assert_array_equal(theirs.outcomes, ours.outcomes)
    np.testing.assert_array_equal(theirs.objects, ours.objects)
    np.testing.assert_array_equal(theirs.order, ours.order)


def test_blocks_of_pairs_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = random_metrics(3, "voc")
    whole = errors_of(metrics)
    monkeypatch.setattr("detection.evaluation.matching.PAIRS_AT_ONCE", 7)
    parts = errors_of(metrics)
    np.testing.assert_array_equal(parts.types, whole.types)
    np.testing.assert_array_equal(parts.targets, whole.targets)


def test_confusions_by_count_from_a_threshold_on() -> None:
    # Dogs taken for cats at 0.9 and 0.5, an owl for a cat at 0.8, a cat for a dog at 0.7; 0.4 is below the threshold.
    objects = [Annotated(DOG, square(0)), Annotated(OWL, square(100)), Annotated(CAT, square(200))]
    found = [
        Found(CAT, 0.9, square(0)),
        Found(CAT, 0.5, square(0)),
        Found(CAT, 0.8, square(100)),
        Found(DOG, 0.7, square(200)),
        Found(DOG, 0.4, square(100)),
        Found(OWL, 0.9, square(300)),
    ]
    metrics = scored(objects, found)
    pairs = confusions(metrics, errors_of(metrics), score_threshold=0.5)
    assert pairs == [(DOG, CAT, 2), (CAT, DOG, 1), (OWL, CAT, 1)]
    assert confusions(metrics, errors_of(metrics), score_threshold=0.5, limit=1) == pairs[:1]
    assert confusions(metrics, errors_of(metrics), score_threshold=float("nan")) == []
