"""Fit the `BoxGrid` of a trained network, whose other weights stay as they are.

Only the grid learns, so the feature maps of all regions are computed once. Then the grid sees all of them many times,
which takes far less time than to compute them again.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from classifier.layers.box_grid import BoxGrid
from detection.training.schedules import CosineSchedule

LEARNING_RATE = 0.0005
"""Highest learning rate of AdamW (our choice)."""

SCHEDULE = CosineSchedule(warmup_fraction=0.04)
"""How the learning rate changes, as in photographs.yaml."""

WEIGHT_DECAY = 0.01
"""Decay of the weights by AdamW (arXiv 1711.05101; the number is our choice); biases do not decay."""

BATCH_SIZE = 128
"""Number of regions in a batch."""


class MappedRegions(NamedTuple):
    """N foreground regions with the feature maps that a network has for them.

    `maps` [N, C, H, W] float16; `labels` [N], 0-based; `deltas` [N, 4] from the regions to their ground truth, see
    `classifier.box_deltas.encode_boxes`.
    """

    maps: NDArray[np.float16]
    labels: NDArray[np.int64]
    deltas: NDArray[np.float32]


def fit_grid(
    grid: BoxGrid,
    regions: MappedRegions,
    *,
    passes: int,
    seed: int,
    device: torch.device,
    report: Callable[[float], object],
) -> None:
    """Teach a grid to predict the deltas of regions by AdamW, with a smooth L1 loss on those of the true class.

    Args:
        grid: the layers to train; they end on the CPU, in evaluation mode.
        regions: the regions to learn from.
        passes: how often each region is seen.
        seed: seed of the order of the regions and of dropout.
        device: where to compute.
        report: is called after each pass with its mean loss.
    """
    count = len(regions.labels)
    batches = math.ceil(count / BATCH_SIZE)
    weights = [parameter for parameter in grid.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in grid.parameters() if parameter.ndim == 1]
    grid.to(device).train()
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: SCHEDULE.factor(step / (passes * batches)))
    order = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for _ in range(passes):
            total = 0.0
            for rows in np.array_split(order.permutation(count), batches):
                rows.sort()  # the maps are read from a file, in their order
                loss = _loss(grid, regions, rows, device)
                optimizer.zero_grad()
                (loss / len(rows)).backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
            report(total / count)
    grid.cpu().eval()


def _loss(grid: BoxGrid, regions: MappedRegions, rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Return the sum of the smooth L1 losses of the regions `rows`."""
    maps, labels, deltas = (torch.from_numpy(array[rows]).to(device) for array in regions)
    all_deltas = grid(grid.positions(maps.float(), 1.0)).unflatten(1, (-1, 4))  # of all classes
    predicted = all_deltas[torch.arange(len(rows), device=device), labels]
    return functional.smooth_l1_loss(predicted, deltas, reduction="sum")
