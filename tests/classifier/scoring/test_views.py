"""Scores that are averaged over several views of a region."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from classifier.ensemble import Ensemble
from classifier.region_classifier import RegionClassifier
from detection.structures.arrays import FloatArray, Image
from tests.classifier.scoring.member_examples import (
    BOXES,
    exact_classifier,
    exact_ensemble,
    expected_confidence,
    image,
    refined,
)


def mirrored(picture: Image, boxes: FloatArray) -> tuple[Image, FloatArray]:
    width = picture.shape[1]
    return picture[:, ::-1].copy(), np.stack(
        [width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1
    )


def build(kind: str, mixed: list[str], **views: Any) -> RegionClassifier | Ensemble:
    return exact_classifier(mixed[1], **views) if kind == "single" else exact_ensemble(mixed[:2], **views)


@pytest.mark.parametrize("kind", ["single", "ensemble"])
def test_mirror_is_the_mean_with_the_mirrored_image(mixed: list[str], kind: str) -> None:
    picture, boxes = mirrored(image(), BOXES)
    without_mirror = build(kind, mixed)
    (plain,), (turned,) = without_mirror([image()], [BOXES]), without_mirror([picture], [boxes])
    (both,) = build(kind, mixed, mirror=True)([image()], [BOXES])
    np.testing.assert_allclose(both.probabilities, (plain.probabilities + turned.probabilities) / 2, atol=1e-4)
    turned_back = mirrored(picture, refined(turned).reshape(-1, 4))[1].reshape(refined(turned).shape)
    np.testing.assert_allclose(refined(both), (refined(plain) + turned_back) / 2, atol=0.05)
    assert np.abs(refined(plain) - turned_back).max() > 0.5  # the two views do differ


@pytest.mark.parametrize("kind", ["single", "ensemble"])
def test_scales_are_the_mean_over_windows_about_the_regions(mixed: list[str], kind: str) -> None:
    centres, sides = (BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]
    larger = np.concatenate([centres - sides * 0.75, centres + sides * 0.75], axis=1)
    plain, enlarged = (build(kind, mixed, scales=[1])([image()], [boxes])[0] for boxes in (BOXES, larger))
    (both,) = build(kind, mixed, scales=[1, 1.5])([image()], [BOXES])
    np.testing.assert_allclose(both.probabilities, (plain.probabilities + enlarged.probabilities) / 2, atol=1e-4)
    np.testing.assert_allclose(refined(both), (refined(plain) + refined(enlarged)) / 2, atol=0.05)
    assert np.abs(refined(plain) - refined(enlarged)).max() > 0.5  # the two views do differ


def test_cascade_with_all_views(mixed: list[str]) -> None:
    views: dict[str, Any] = {"mirror": True, "scales": [0.9, 1.3]}
    leader, all_members = (exact_ensemble(members, **views)([image()], [BOXES])[0] for members in (mixed[:1], mixed))
    confidence = expected_confidence(leader.probabilities)
    threshold = float(np.sort(confidence)[-2:].mean())
    (actual,) = exact_ensemble(mixed, **views, cascade_thresholds=[threshold])([image()], [BOXES])
    expected = np.where((confidence >= threshold)[:, None], all_members.probabilities, leader.probabilities)
    np.testing.assert_allclose(actual.probabilities, expected, atol=1e-4)


@pytest.mark.parametrize("scales", [[], [1, 0], [-1.0], [float("nan")], [float("inf")]])
def test_scales_out_of_range(mixed: list[str], scales: list[float]) -> None:
    for build in (lambda: RegionClassifier(mixed[0], scales=scales), lambda: Ensemble(mixed, scales=scales)):
        with pytest.raises(ValueError, match="scales must be positive numbers, at least one, got"):
            build()
