"""The types of errors, the missed objects, and the classes that are confused."""

from __future__ import annotations

import numpy as np
import pytest

from detection.evaluation.analysis.error_types import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    LOCALISATION,
    NO_ERROR,
    confusions,
)
from detection.evaluation.rules import COCO_AT_HALF, ILSVRC, VOC
from tests.detection.evaluation.analysis.error_examples import (
    CAT,
    DOG,
    OWL,
    Annotated,
    Found,
    errors_of,
    random_metrics,
    scored,
    square,
)


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
