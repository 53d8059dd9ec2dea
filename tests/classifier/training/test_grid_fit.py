"""Tests of `fit_grid` on maps that show where the object is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from classifier.layers.box_grid import BoxGrid
from classifier.training.grid_fit import MappedRegions, fit_grid

CPU = torch.device("cpu")


@pytest.fixture(name="regions", scope="module")
def regions_with_a_bright_cell() -> MappedRegions:
    """Each map has a bright cell; objects of class 0 lie towards it, and those of class 1 away from it."""
    generator = np.random.default_rng(0)
    maps = np.zeros((600, 8, 3, 3), np.float16)
    cells, labels = generator.integers(0, 3, (600, 2)), generator.integers(0, 2, 600)
    maps[np.arange(600), :, cells[:, 1], cells[:, 0]] = 1
    deltas = np.zeros((600, 4), np.float32)
    deltas[:, :2] = np.where(labels == 0, 1, -1)[:, None] * (cells - 1)
    return MappedRegions(maps, labels, deltas)


def fit(regions: MappedRegions, *, passes: int, seed: int = 1) -> tuple[BoxGrid, list[float]]:
    torch.manual_seed(0)
    grid, losses = BoxGrid(8, 2, grid=3), []  # type: tuple[BoxGrid, list[float]]
    fit_grid(grid, regions, passes=passes, seed=seed, device=CPU, report=losses.append)
    return grid, losses


def test_learns_the_deltas_of_each_class(regions: MappedRegions) -> None:
    grid, losses = fit(regions, passes=60)
    assert len(losses) == 60
    assert losses[-1] < 0.2 * losses[0]
    assert not grid.training
    with torch.inference_mode():
        predicted = grid(grid.positions(torch.from_numpy(regions.maps).float(), 1.0)).unflatten(1, (2, 4))
    own = predicted[torch.arange(600), torch.from_numpy(regions.labels)].numpy()
    assert np.abs(own - regions.deltas).mean() < 0.15


def test_follows_the_seed_and_leaves_that_of_others(regions: MappedRegions) -> None:
    state = torch.random.get_rng_state()
    grids = [fit(regions, passes=1, seed=seed)[0].last.weight for seed in (1, 1, 2)]
    assert torch.equal(grids[0], grids[1])
    assert not torch.equal(grids[0], grids[2])
    torch.manual_seed(0)
    BoxGrid(8, 2, grid=3)
    after_building = torch.random.get_rng_state()
    fit(regions, passes=1)
    assert torch.equal(torch.random.get_rng_state(), after_building)
    torch.random.set_rng_state(state)
