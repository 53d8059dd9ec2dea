from __future__ import annotations

from itertools import permutations

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
import torch

from classifier.training.augmentation import (
    COLOUR_VARIANCES,
    GREY,
    NUMBERS,
    PRINCIPAL_COLOURS,
    Augmentation,
    Distortions,
    distort,
    no_distortions,
)
from classifier.warp.matrices import Interpolation
from detection.runtime.pixels import MEAN_RGB
from detection.structures.arrays import Image

MEAN = torch.tensor(MEAN_RGB).view(3, 1, 1)
UNCHANGED = Distortions.join([no_distortions(1)])


def centred(pixels: Image) -> torch.Tensor:
    return (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() - MEAN)[None]


def pixels_of(region: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    result: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = (region[0] + MEAN).permute(1, 2, 0).numpy()
    return result


@pytest.fixture(name="pixels")
def muted_photo(photo_pixels: Image) -> Image:
    """Return a photo whose distortions in these tests stay within 0-255, so that no value is clipped."""
    return (photo_pixels[:80, :80] // 3 + 60).astype(np.uint8)


def test_nothing_changes_without_distortions(pixels: Image) -> None:
    regions = centred(pixels)
    torch.testing.assert_close(distort(regions, UNCHANGED), regions, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("kind", "enhance"),
    [
        (0, PIL.ImageEnhance.Brightness),
        (1, PIL.ImageEnhance.Contrast),
        (2, PIL.ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("gain", [0.6, 1.4])
def test_photometric_changes_are_those_of_pillow(kind: int, enhance: type, gain: float, pixels: Image) -> None:
    gains = torch.ones(1, 3)
    gains[0, kind] = gain
    changed = pixels_of(distort(centred(pixels), UNCHANGED._replace(gains=gains)))
    expected = np.asarray(enhance(PIL.Image.fromarray(pixels)).enhance(gain))
    assert np.abs(changed - expected).max() <= 1.5  # Pillow rounds, to whole greys and at each step
    assert np.abs(changed - pixels).max() > 5


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_one_change_after_another_in_any_order(order: tuple[int, ...], pixels: Image) -> None:
    gains = (1.2, 0.7, 1.5)
    colours = pixels.astype(np.float64)
    for kind in order:
        grey = colours @ GREY
        other = {0: 0.0, 1: grey.mean(), 2: grey[..., None]}[kind]
        colours = gains[kind] * colours + (1 - gains[kind]) * other
    changed = pixels_of(distort(centred(pixels), UNCHANGED._replace(gains=torch.tensor([gains]))))
    np.testing.assert_allclose(changed, colours, atol=1e-2)


def test_values_are_cut(photo_pixels: Image) -> None:
    bright = distort(centred(photo_pixels), UNCHANGED._replace(gains=torch.tensor([[3.0, 1, 1]])))
    assert pixels_of(bright).max() == pytest.approx(255, abs=1e-3)
    assert np.abs(pixels_of(bright) - np.minimum(photo_pixels * 3.0, 255)).max() < 0.01


def test_lighting_shifts_all_pixels_alike(pixels: Image) -> None:
    # Section 4.1 of the AlexNet paper: [p1 p2 p3] [a1 l1, a2 l2, a3 l3]^T, for pixels in 0-1.
    draws = (0.1, -0.2, 0.3)
    expected = sum(
        np.array(colour) * draw * variance * 255
        for colour, draw, variance in zip(PRINCIPAL_COLOURS, draws, COLOUR_VARIANCES, strict=True)
    )
    changed = pixels_of(distort(centred(pixels), UNCHANGED._replace(lighting=torch.tensor([draws]))))
    np.testing.assert_allclose(changed - pixels, np.broadcast_to(expected, pixels.shape), atol=1e-3)


def test_principal_colours_are_a_basis() -> None:
    basis = np.array(PRINCIPAL_COLOURS)
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=2e-3)
    assert list(COLOUR_VARIANCES) == sorted(COLOUR_VARIANCES, reverse=True)


def test_mirror(pixels: Image) -> None:
    regions = centred(pixels).expand(2, -1, -1, -1)
    changed = distort(regions, Distortions.join([no_distortions(2)])._replace(mirrored=torch.tensor([True, False])))
    torch.testing.assert_close(changed[0], regions[0].flip(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(changed[1], regions[1], atol=1e-3, rtol=0)


def test_regions_do_not_mix(pixels: Image) -> None:
    regions = torch.cat([centred(pixels), centred(255 - pixels), centred(pixels[::-1])])
    generator = np.random.default_rng(0)
    drawn = [Augmentation().draw(generator.random((1, NUMBERS))) for _ in range(3)]
    before = regions.clone()
    together = distort(regions, Distortions.join(drawn))
    assert torch.equal(regions, before)
    for index in range(3):
        alone = distort(regions[index : index + 1], Distortions.join(drawn[index : index + 1]))
        torch.testing.assert_close(together[index : index + 1], alone)


def test_no_regions() -> None:
    assert distort(torch.zeros(0, 3, 8, 8), Distortions.join([no_distortions(0)])).shape == (0, 3, 8, 8)


def test_draws_have_the_published_ranges() -> None:
    drawn = Augmentation().draw(np.random.default_rng(0).random((4000, NUMBERS)))
    assert abs(drawn.mirrored.mean() - 0.5) < 0.04  # 5 standard deviations of sqrt(1 / 4 / 4000)
    counts = np.bincount(drawn.interpolation, minlength=4)
    assert (np.abs(counts - 1000) < 137).all()  # sqrt(4000 * 1/4 * 3/4) = 27.4
    assert len(counts) == len(Interpolation)
    assert drawn.gains.min() >= 0.5
    assert drawn.gains.max() <= 1.5
    assert np.abs(drawn.gains.std(0) - 1 / 12**0.5).max() < 0.01
    assert np.abs(drawn.lighting.std(0) - 0.1).max() < 0.006
    assert np.abs(drawn.lighting.mean(0)).max() < 0.008


def test_draws_can_be_switched_off() -> None:
    plain = Augmentation(mirror=0, interpolations=(Interpolation.AREA,), photometric=0, lighting=0)
    drawn, nothing = plain.draw(np.random.default_rng(0).random((5, NUMBERS))), no_distortions(5)
    assert drawn._fields == nothing._fields
    for name, values in drawn._asdict().items():
        expected = getattr(nothing, name)
        assert values.dtype == expected.dtype
        assert np.array_equal(values, expected)


def test_draws_of_a_batch_follow_each_other() -> None:
    generator = np.random.default_rng(0)
    drawn = [Augmentation().draw(generator.random((count, NUMBERS))) for count in (2, 1, 3)]
    together = Distortions.join(drawn)
    for name, values in together._asdict().items():
        assert np.array_equal(values, np.concatenate([getattr(draws, name) for draws in drawn]))
