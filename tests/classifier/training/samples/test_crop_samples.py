"""Tests of `sample_crop`, which draws random crops of whole images."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.training.samples.crop_samples import sample_crop
from tests.classifier.training.samples.sampling_examples import Size, assert_valid


@pytest.mark.parametrize("size", [(100, 100), (60, 200), (300, 90)])
def test_crops_have_the_area_and_aspect_asked_for(size: Size) -> None:
    generator = np.random.default_rng(0)
    crops = np.stack(
        [sample_crop(size, area=(0.08, 1), aspect=(3 / 4, 4 / 3), generator=generator) for _ in range(2000)]
    )
    assert_valid(crops, size)
    sides = crops[:, 2:] - crops[:, :2]
    share, aspect = sides.prod(1) / (size[0] * size[1]), sides[:, 0] / sides[:, 1]
    assert share.min() > 0.08 - 1e-4
    assert aspect.min() > 3 / 4 - 1e-4
    assert aspect.max() < 4 / 3 + 1e-4
    assert (share < 0.15).any()
    if size == (100, 100):
        # Small ones always fit, so their aspect is log-uniform: half of them are wider than high.
        small = share < 0.5
        assert abs((aspect[small] > 1).mean() - 0.5) < 0.08
        # A uniform area in 0.08-1: (0.3 - 0.08) / 0.92 = 24% of the draws are below 0.3; some above do not fit.
        assert 0.2 < (share < 0.3).mean() < 0.35


def test_crop_of_a_strip_is_central() -> None:
    # 10 x 1000: an aspect of 4/3 at most leaves 13.3 columns, 1.3% of the area; 8% never fits.
    crop = sample_crop((10, 1000), area=(0.08, 1), aspect=(3 / 4, 4 / 3), generator=np.random.default_rng(0))
    np.testing.assert_allclose(crop, [500 - 20 / 3, 0, 500 + 20 / 3, 10], rtol=1e-5)
    crop = sample_crop((1000, 10), area=(0.08, 1), aspect=(3 / 4, 4 / 3), generator=np.random.default_rng(0))
    np.testing.assert_allclose(crop, [0, 500 - 20 / 3, 10, 500 + 20 / 3], rtol=1e-5)


def test_whole_image_as_crop() -> None:
    crop = sample_crop((30, 40), area=(1, 1), aspect=(4 / 3, 4 / 3), generator=np.random.default_rng(0))
    np.testing.assert_allclose(crop, [0, 0, 40, 30], atol=1e-4)
