"""The mean of several networks, with and without a cascade, against a naive loop over them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.ensemble import Ensemble
from classifier.scoring import score
from classifier.scoring.input_format import InputFormat
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.warp import crop
from classifier.warp.crop import ImageRegions
from detection.errors import InputError
from detection.structures.arrays import AnyArray, FloatArray, Image
from detection.structures.boxes import snap_boxes
from detection.structures.contracts import RegionScores
from tests.classifier.scoring.member_examples import (
    BOXES,
    IMAGES,
    REGIONS,
    Write,
    exact_classifier,
    exact_ensemble,
    expected_confidence,
    image,
    refined,
)


@cache
def single(member: str) -> list[RegionScores]:
    return exact_classifier(member)(IMAGES, REGIONS)


@cache
def loaded(members: tuple[str, ...], batch_size: int | None = None) -> Ensemble:
    """Return an ensemble whose thresholds a test may set, so that its networks are loaded once."""
    return exact_ensemble([*members], batch_size=batch_size)


def naive_mean(by_member: list[list[RegionScores]], index: int) -> tuple[FloatArray, FloatArray]:
    """Probabilities and boxes of an image, region by region."""
    probabilities, boxes = [], []
    for region in range(len(REGIONS[index])):
        probabilities.append(np.mean([scores[index].probabilities[region] for scores in by_member], axis=0))
        member_boxes = [scores[index].boxes for scores in by_member]
        boxes.append(np.mean([each[region] for each in member_boxes if each is not None], axis=0))
    return np.array(probabilities).reshape(-1, 4), np.array(boxes).reshape(-1, 3, 4)


def test_is_the_mean_of_its_members(mixed: list[str]) -> None:
    by_member = [single(member) for member in mixed]
    actual = exact_ensemble(mixed, batch_size=2)(IMAGES, REGIONS)
    assert len(actual) == 3
    for index, scores in enumerate(actual):
        probabilities, boxes = naive_mean(by_member, index)
        np.testing.assert_allclose(scores.probabilities, probabilities, atol=1e-5)
        np.testing.assert_allclose(refined(scores), boxes, atol=1e-3)
        assert scores.probabilities.dtype == refined(scores).dtype == np.float32
    assert np.ptp([scores[0].probabilities[:, 1] for scores in by_member], axis=0).max() > 0.05  # members do differ
    assert np.ptp(actual[0].probabilities[:, 1]) > 0.01  # and so do regions


def test_one_member_is_a_region_classifier(mixed: list[str]) -> None:
    ensemble, alone = exact_ensemble(mixed[1:2])(IMAGES, REGIONS), single(mixed[1])
    for scores, expected in zip(ensemble, alone, strict=True):
        np.testing.assert_array_equal(scores.probabilities, expected.probabilities)
        np.testing.assert_array_equal(refined(scores), refined(expected))


@pytest.mark.parametrize("thresholds", [None, [0.5], [0.4, 0.5]])
def test_without_box_regression_there_are_no_boxes(write: Write, thresholds: list[float] | None) -> None:
    members = [write(6), write(7), write(8)]
    assert exact_ensemble(members, cascade_thresholds=thresholds)([image()], [BOXES])[0].boxes is None


def test_boxes_are_refined_only_if_asked_for(mixed: list[str]) -> None:
    refining, plain = (exact_ensemble(mixed, refine=refine) for refine in (True, False))
    assert len(refined(refining([image()], [BOXES])[0])) == len(BOXES)
    assert plain([image()], [BOXES])[0].boxes is None
    (stages,) = plain.stages([image()], [BOXES])
    assert stages.first.boxes is stages.fused.boxes is None


@pytest.mark.parametrize("thresholds", [[0.5], [1.0, 1.0]])
def test_no_images_and_no_regions(mixed: list[str], thresholds: list[float]) -> None:
    ensemble = exact_ensemble(mixed, cascade_thresholds=thresholds)
    assert ensemble([], []) == []
    (scores,) = ensemble([image()], [BOXES[:0]])
    assert scores.probabilities.shape == (0, 4)
    assert refined(scores).shape == (0, 3, 4)


def naive_cascade(
    by_member: list[list[RegionScores]], thresholds: Sequence[float], index: int, region: int
) -> tuple[FloatArray, FloatArray]:
    """Probabilities [C + 1] and boxes [C, 4] of a region of an image, one member after the other."""
    taken = 0
    while True:
        taken = taken + 1 if taken < len(thresholds) else len(by_member)
        scores = [member[index] for member in by_member[:taken]]
        mean = np.mean([each.probabilities[region] for each in scores], axis=0)
        if taken == len(by_member) or expected_confidence(mean) < thresholds[taken - 1]:
            boxes = [each.boxes[region] for each in scores if each.boxes is not None]
            return mean, np.mean(boxes, axis=0) if boxes else REGIONS[index][region]


@pytest.mark.parametrize("batch_size", [1, 64])
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 2, 4), (3, 0, 2, 1)], ids=["second refines", "first", "last"])
def test_cascade_agrees_with_a_naive_cascade(
    mixed: list[str], order: tuple[int, ...], steps: int, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [mixed[index] for index in order]
    by_member = [single(member) for member in members]
    means = [np.mean([member[0].probabilities for member in by_member[: count + 1]], axis=0) for count in range(steps)]
    # Thresholds between the third and the fourth region.
    middle = [float(np.sort(expected_confidence(mean))[2:4].mean()) for mean in means]
    monkeypatch.setattr(score, "REGION_BYTES", 0)  # many groups
    seen, ensemble = set(), loaded(tuple(members), batch_size)
    for thresholds in (middle, [0.0] * steps, [1.0] * steps, [0.0] * (steps - 1) + middle[-1:]):
        ensemble.cascade_thresholds = tuple(thresholds)
        for index, scores in enumerate(ensemble(IMAGES, REGIONS)):
            for region in range(len(REGIONS[index])):
                probabilities, boxes = naive_cascade(by_member, thresholds, index, region)
                np.testing.assert_allclose(scores.probabilities[region], probabilities, atol=1e-5)
                np.testing.assert_allclose(refined(scores)[region], np.broadcast_to(boxes, (3, 4)), atol=1e-3)
                seen.add(round(float(probabilities[1]), 4))
    assert len(seen) > len(BOXES)  # thresholds did matter


@pytest.mark.parametrize("steps", [0, 1])
def test_stages_hold_the_scores_of_a_cascade_with_one_more_threshold(mixed: list[str], steps: int) -> None:
    members = [mixed[1], mixed[0], mixed[2], mixed[3]]
    best = np.concatenate([expected_confidence(scores.probabilities) for scores in single(members[0])])
    earlier = [float(np.median(best))] * steps
    ensemble = loaded(tuple(members))
    ensemble.cascade_thresholds = tuple(earlier)
    stages = ensemble.stages(IMAGES, REGIONS)
    leading = np.concatenate([expected_confidence(each.first.probabilities[each.reached]) for each in stages])
    assert len(leading) == (4 if earlier else 8)
    for threshold in (0.0, float(np.median(leading)), 1.0):
        ensemble.cascade_thresholds = (*earlier, threshold)
        for scores, image_stages, boxes in zip(ensemble(IMAGES, REGIONS), stages, REGIONS, strict=True):
            expected = image_stages.choose(boxes, threshold)
            np.testing.assert_allclose(scores.probabilities, expected.probabilities, atol=1e-5)
            np.testing.assert_allclose(refined(scores), refined(expected), atol=1e-3)


def test_other_members_score_only_the_regions_that_go_on(mixed: list[str]) -> None:
    leading = expected_confidence(single(mixed[0])[0].probabilities)
    threshold = float(np.sort(leading)[-3:-1].mean())  # the best two regions
    shown: list[int] = []
    for thresholds, expected in (([threshold], [5, 2, 2]), ([threshold, 0.0], [5, 2, 2]), ([threshold, 1.0], [5, 2])):
        ensemble = exact_ensemble(mixed[:3], cascade_thresholds=thresholds)
        for network in ensemble.networks:
            network.network.register_forward_pre_hook(lambda _, inputs: shown.append(len(inputs[0])))
        shown.clear()
        ensemble([image()], [BOXES])
        assert [count for count in shown if count] == expected


@pytest.mark.parametrize("shrunk", [False, True])
def test_later_members_may_look_at_refined_boxes(
    mixed: list[str], *, shrunk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shrunk:
        monkeypatch.setattr(crop, "MAX_PIXELS", 3000)
    leading, looking = mixed[1], mixed[4]
    first = exact_classifier(leading)(IMAGES, REGIONS)
    confidences = np.concatenate([expected_confidence(scores.probabilities) for scores in first])
    threshold = float(np.median(confidences))
    ensemble = exact_ensemble([leading, looking], cascade_thresholds=[threshold], follow_boxes=True)
    for picture, regions, scores, actual in zip(IMAGES, REGIONS, first, ensemble(IMAGES, REGIONS), strict=True):
        goes_on = expected_confidence(scores.probabilities) >= threshold
        likeliest = scores.probabilities[:, 1:].argmax(axis=1)
        followed = refined(scores)[np.arange(len(regions)), likeliest]
        (second,) = exact_classifier(looking)([picture], [snap_boxes(followed, 4)])
        means = (scores.probabilities + second.probabilities) / 2
        boxes = (refined(scores) + refined(second)) / 2
        np.testing.assert_allclose(actual.probabilities[goes_on], means[goes_on], atol=1e-4)
        np.testing.assert_allclose(refined(actual)[goes_on], boxes[goes_on], atol=0.01)
        np.testing.assert_allclose(actual.probabilities[~goes_on], scores.probabilities[~goes_on], atol=1e-5)
        assert np.abs(followed - regions).max(initial=1) > 0.5  # the boxes are others


def test_members_count_by_their_weights(mixed: list[str]) -> None:
    by_member = [single(member) for member in mixed]
    weights = [1.0, 2.0, 0.5, 3.0, 4.0]
    refining = [1, 4]
    for index, scores in enumerate(exact_ensemble(mixed, member_weights=weights)(IMAGES, REGIONS)):
        answers = [each[index] for each in by_member]
        probabilities = np.average([each.probabilities for each in answers], axis=0, weights=weights)
        boxes = np.average(
            [refined(answers[member]) for member in refining], axis=0, weights=[weights[member] for member in refining]
        )
        np.testing.assert_allclose(scores.probabilities, probabilities, atol=1e-5)
        np.testing.assert_allclose(refined(scores), boxes, atol=1e-3)


def test_the_mean_of_ones_is_not_above_one(mixed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadedNetwork, "probabilities", lambda _, logits: torch.ones_like(logits))
    (scores,) = exact_ensemble(mixed[:2], member_weights=[0.4, 0.3])([image()], [BOXES])  # in float32 1.0000001
    np.testing.assert_array_equal(scores.probabilities, 1)


@pytest.mark.parametrize(
    ("thresholds", "weights"), [([0.5], None), ([0.5, 0.5], [1.0, 2.0, 0.5, 3.0, 4.0]), (None, None)]
)
def test_last_scores_are_those_of_the_members_after_the_thresholds(
    mixed: list[str], thresholds: list[float] | None, weights: list[float] | None
) -> None:
    first = len(thresholds or [])
    ensemble = exact_ensemble(mixed, cascade_thresholds=thresholds, member_weights=weights, follow_boxes=True)
    last = exact_ensemble(mixed[first:], member_weights=weights and weights[first:])
    nearby = [snap_boxes(boxes, 4) + np.float32(0.1) for boxes in REGIONS]
    expected_scores = last(IMAGES, [snap_boxes(boxes, 4) for boxes in REGIONS])
    for actual, expected in zip(ensemble.score_last(IMAGES, nearby), expected_scores, strict=True):
        np.testing.assert_array_equal(actual.probabilities, expected.probabilities)
        np.testing.assert_array_equal(refined(actual), refined(expected))


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")], []])
def test_weights_out_of_range(mixed: list[str], weights: list[float]) -> None:
    with pytest.raises(ValueError, match="member_weights must be 2 finite numbers above 0"):
        Ensemble(mixed[:2], member_weights=weights)


def test_a_member_may_look_twice(mixed: list[str]) -> None:
    ensemble = exact_ensemble([mixed[1], mixed[1]], cascade_thresholds=[0.0], follow_boxes=True)
    assert ensemble.networks[0] is ensemble.networks[1]
    assert not np.allclose(ensemble([image()], [BOXES])[0].probabilities, single(mixed[1])[0].probabilities, atol=1e-3)


def test_images_are_uploaded_once_and_inputs_shared(mixed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    warped: list[int] = []
    uploaded: list[Image] = []
    warp, shrink = InputFormat.warp, crop.shrink_to

    def counting(self: InputFormat, group: Sequence[ImageRegions]) -> AnyArray:
        warped.append(self.size)
        return warp(self, group)

    def noting(limit: int, picture: Image, boxes: FloatArray) -> tuple[Image, FloatArray]:
        uploaded.append(picture)
        return shrink(limit, picture, boxes)

    monkeypatch.setattr(InputFormat, "warp", counting)
    monkeypatch.setattr(crop, "shrink_to", noting)
    exact_ensemble(mixed)([image()], [BOXES])
    assert warped == [32, 48]
    assert len(uploaded) == 1


def test_members_of_other_classes_are_refused(write: Write) -> None:
    first, longer, other = write(1), write(1, names=("cat", "dog", "cow", "hen")), write(1, names=("cat", "hen", "cow"))
    with pytest.raises(InputError, match=f"^{other}: expected the classes of {first}, class 1 is 'hen', not 'dog'$"):
        exact_ensemble([first, other])
    with pytest.raises(InputError, match=f"^{longer}: expected the 3 classes of {first}, got 4$"):
        exact_ensemble([first, longer])


def test_members_of_another_head_are_refused(write: Write) -> None:
    first, svm = write(1), write(1, head="svm")
    with pytest.raises(InputError, match=f"^{svm}: expected head 'softmax' as in {first}, got 'svm'$"):
        exact_ensemble([first, first, svm])


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_arguments_out_of_range(mixed: list[str], threshold: float) -> None:
    with pytest.raises(ValueError, match="cascade_thresholds must lie in 0-1"):
        Ensemble(mixed, cascade_thresholds=[0.5, threshold])
    with pytest.raises(ValueError, match=r"cascade_thresholds must be fewer than the 2 members, got \[0.1, 0.2\]"):
        Ensemble(mixed[:2], cascade_thresholds=[0.1, 0.2])
    with pytest.raises(ValueError, match="members must name at least one weights file"):
        Ensemble([])
    for count, thresholds in ((1, []), (2, [0.5])):
        with pytest.raises(ValueError, match=f"two members without a threshold, got {count} with {len(thresholds)}"):
            exact_ensemble(mixed[:count], cascade_thresholds=thresholds).stages([image()], [BOXES])


def test_missing_member_is_named(mixed: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}/none.safetensors: no such weights file"):
        Ensemble([mixed[0], str(tmp_path / "none.safetensors")], device="cpu", precision="float32")
