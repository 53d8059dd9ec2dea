from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from classifier.warp.matrices import Interpolation, resampling_weights


def weights(low: float, high: float, size: int, length: int, kind: Interpolation) -> torch.Tensor:
    start, end = torch.tensor([[low], [high]], dtype=torch.float64)
    return resampling_weights(start, end, size, length=length, kinds=np.array([kind], np.uint8))[0]


def test_area_of_four_pixels_in_two() -> None:
    assert weights(0, 4, 2, 4, Interpolation.AREA).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]


def test_four_pixels_in_two_by_samples() -> None:
    # The centres of the outputs are at 1 and 3, on the edge of two pixels; nearest takes the right one.
    assert weights(0, 4, 2, 4, Interpolation.BILINEAR).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    assert weights(0, 4, 2, 4, Interpolation.NEAREST).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    # Keys' kernel at distances 1.5, 0.5, 0.5, 1.5 with a = -0.75: 0.75 / 8 * -1 = -0.09375, and 0.59375.
    expected = [[0.59375, 0.59375, -0.09375, 0], [0, -0.09375, 0.59375, 0.59375]]
    assert weights(0, 4, 2, 4, Interpolation.CUBIC).tolist() == expected


def test_bilinear_does_not_average_where_it_shrinks() -> None:
    # Centres at 2 and 6 of 8 pixels.
    assert weights(0, 8, 2, 8, Interpolation.BILINEAR)[0].tolist() == [0, 0.5, 0.5, 0, 0, 0, 0, 0]
    assert weights(0, 8, 2, 8, Interpolation.AREA)[0].tolist() == [0.25] * 4 + [0] * 4


@pytest.mark.parametrize("kind", Interpolation)
@pytest.mark.parametrize(("low", "high", "size"), [(2.3, 17.9, 9), (2.25, 8.5, 31), (4, 5, 3)])
def test_weights_sum_to_one_inside(kind: Interpolation, low: float, high: float, size: int) -> None:
    total = weights(low, high, size, 24, kind).sum(1)
    torch.testing.assert_close(total, torch.ones(size, dtype=torch.float64))


@pytest.mark.parametrize("kind", Interpolation)
def test_pixels_outside_have_no_weight(kind: Interpolation) -> None:
    assert (weights(30, 40, 5, 20, kind) == 0).all()
    assert (weights(-40, -20, 5, 20, kind) == 0).all()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(Interpolation.BILINEAR, "bilinear"), (Interpolation.NEAREST, "nearest"), (Interpolation.CUBIC, "bicubic")],
)
@pytest.mark.parametrize(("low", "high", "size"), [(3.2, 20.7, 12), (5.1, 9.4, 16), (-6.3, 31.1, 7)])
def test_samples_agree_with_grid_sample(kind: Interpolation, mode: str, low: float, high: float, size: int) -> None:
    row = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 1, 24)))
    centres = low + (high - low) * (torch.arange(size, dtype=torch.float64) + 0.5) / size
    grid = torch.stack([2 * centres / 24 - 1, torch.zeros_like(centres)], -1).view(1, 1, size, 2)
    expected = functional.grid_sample(row, grid, mode=mode, align_corners=False)[0, 0, 0]
    # Two rows beyond the only one would weigh in bicubic interpolation, but at its centre their kernel is zero.
    torch.testing.assert_close(weights(low, high, size, 24, kind) @ row[0, 0, 0], expected)


def test_each_region_has_its_own_interpolation() -> None:
    low, high = torch.tensor([1.0, 2, 3, 4]), torch.tensor([9.0, 12, 7, 21])
    kinds = np.array([3, 0, 2, 1], np.uint8)
    together = resampling_weights(low, high, 6, length=24, kinds=kinds)
    for index in range(4):
        row = slice(index, index + 1)
        alone = resampling_weights(low[row], high[row], 6, length=24, kinds=kinds[row])
        assert torch.equal(together[index], alone[0])
    assert resampling_weights(low[:0], high[:0], 6, length=24, kinds=kinds[:0]).shape == (0, 6, 24)
