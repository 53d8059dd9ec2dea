"""Scores that are averaged over several views of a region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from classifier.ensemble import Ensemble
from classifier.region_classifier import RegionClassifier
from detection.structures.arrays import FloatArray, Image
from tests.classifier.scoring.member_examples import BOXES, image, promise


def mirrored(picture: Image, boxes: FloatArray) -> tuple[Image, FloatArray]:
    width = picture.shape[1]
    return picture[:, ::-1].copy(), np.stack(
        [width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1
    )


@pytest.mark.parametrize("kind", ["single", "ensemble"])
def test_mirror_is_the_mean_with_the_mirrored_image(mixed: list[str], kind: str) -> None:
    def build(*, mirror: bool) -> RegionClassifier | Ensemble:
        if kind == "single":
            return RegionClassifier(mixed[1], device="cpu", precision="float32", mirror=mirror)
        return Ensemble(mixed[:2], device="cpu", precision="float32", mirror=mirror)

    picture, boxes = mirrored(image(), BOXES)
    plain, turned = (build(mirror=False)([one], [of_one])[0] for one, of_one in ((image(), BOXES), (picture, boxes)))
    both = build(mirror=True)([image()], [BOXES])[0]
    np.testing.assert_allclose(both.probabilities, (plain.probabilities + turned.probabilities) / 2, atol=1e-4)
    assert plain.boxes is not None
    assert turned.boxes is not None
    assert both.boxes is not None
    turned_back = mirrored(picture, turned.boxes.reshape(-1, 4))[1].reshape(turned.boxes.shape)
    np.testing.assert_allclose(both.boxes, (plain.boxes + turned_back) / 2, atol=0.05)
    assert np.abs(plain.boxes - turned_back).max() > 0.5  # the two views do differ


@pytest.mark.parametrize("kind", ["single", "ensemble"])
def test_scales_are_the_mean_over_windows_about_the_regions(mixed: list[str], kind: str) -> None:
    def build(*, scales: Sequence[float]) -> RegionClassifier | Ensemble:
        if kind == "single":
            return RegionClassifier(mixed[1], device="cpu", precision="float32", scales=scales)
        return Ensemble(mixed[:2], device="cpu", precision="float32", scales=scales)

    centres, sides = (BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]
    larger = np.concatenate([centres - sides * 0.75, centres + sides * 0.75], axis=1)
    plain, of_larger = (build(scales=[1])([image()], [boxes])[0] for boxes in (BOXES, larger))
    both = build(scales=[1, 1.5])([image()], [BOXES])[0]
    np.testing.assert_allclose(both.probabilities, (plain.probabilities + of_larger.probabilities) / 2, atol=1e-4)
    assert plain.boxes is not None
    assert of_larger.boxes is not None
    assert both.boxes is not None
    np.testing.assert_allclose(both.boxes, (plain.boxes + of_larger.boxes) / 2, atol=0.05)
    assert np.abs(plain.boxes - of_larger.boxes).max() > 0.5  # the two views do differ


def test_cascade_with_all_views(mixed: list[str]) -> None:
    def build(members: list[str]) -> Ensemble:
        return Ensemble(members, device="cpu", precision="float32", mirror=True, scales=[0.9, 1.3])

    leader, all_of_them = (build(members)([image()], [BOXES])[0] for members in (mixed[:1], mixed))
    promises = promise(leader.probabilities)
    threshold = float(np.sort(promises)[-2:].mean())
    cascade = build(mixed)
    cascade.cascade_thresholds = (threshold,)
    found = cascade([image()], [BOXES])[0]
    expected = np.where((promises >= threshold)[:, None], all_of_them.probabilities, leader.probabilities)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)


@pytest.mark.parametrize("scales", [[], [1, 0], [-1.0], [float("nan")], [float("inf")]])
def test_scales_out_of_range(mixed: list[str], scales: list[float]) -> None:
    for build in (lambda: RegionClassifier(mixed[0], scales=scales), lambda: Ensemble(mixed, scales=scales)):
        with pytest.raises(ValueError, match="scales must be positive numbers, at least one, got"):
            build()
