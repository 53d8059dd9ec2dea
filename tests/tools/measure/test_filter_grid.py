"""The picture of the filters of a first layer, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tools.measure.picture_network import CELL, GAP, draw_filters, first_filters


def test_each_filter_is_stretched_by_itself_and_put_in_its_place() -> None:
    filters = np.zeros((5, 3, 2, 2), np.float32)
    filters[0, 0, 0, 1] = 0.1  # red at the top right; all else has the lowest value, which is black
    filters[1, :, 1, 0] = -7  # black at the bottom left; all else has the highest value, which is white
    filters[2] = 3  # a single value
    grid = draw_filters(filters)
    step = CELL + GAP
    assert grid.shape == (2 * step + GAP, 3 * step + GAP, 3)  # 3 columns, as 3 x 3 is the smallest square that holds 5
    cells = [grid[GAP + row * step :][:CELL, GAP + column * step :][:, :CELL] for row in (0, 1) for column in (0, 1, 2)]
    quarter = (slice(0, CELL, CELL // 2), slice(0, CELL, CELL // 2))
    assert cells[0][quarter].tolist() == [[[0, 0, 0], [255, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert cells[1][quarter].tolist() == [[[255] * 3, [255] * 3], [[0] * 3, [255] * 3]]
    assert (cells[2] == 128).all()
    assert (cells[5] == 255).all()  # no sixth filter
    assert (grid[:GAP] == 255).all()
    assert (grid[:, GAP + CELL : step] == 255).all()


def test_one_large_filter() -> None:
    filters = np.random.default_rng(0).standard_normal((1, 3, 100, 100)).astype(np.float32)
    grid = draw_filters(filters)
    assert grid.shape == (100 + 2 * GAP, 100 + 2 * GAP, 3)
    cell = grid[GAP:-GAP, GAP:-GAP]
    assert cell.min() == 0
    assert cell.max() == 255


def test_first_filters_of_a_network() -> None:
    network = nn.Sequential(nn.Identity(), nn.Sequential(nn.Conv2d(3, 4, 5)), nn.Conv2d(4, 2, 1))
    filters = first_filters(network)
    assert filters.shape == (4, 3, 5, 5)
    assert torch.equal(torch.from_numpy(filters), network.get_parameter("1.0.weight"))


@pytest.mark.parametrize("network", [nn.Linear(3, 2), nn.Conv2d(1, 4, 3)])
def test_network_without_filters_of_colours(network: nn.Module) -> None:
    with pytest.raises(ValueError, match="expected a network that begins with a convolution of RGB, got"):
        first_filters(network)
