"""Batches of a few fixed sizes, replayed as CUDA graphs: a launch for each batch in place of one for each layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from detection.device import is_out_of_memory

Output = TypeVar("Output")

HALVINGS = 3
"""A batch has a graph for its full size, a half, a quarter and an eighth of it."""

MAX_PADDING = 0.25
"""Share of a batch that may be padding, unless it is of the smallest size."""


def next_size(remaining: int, batch_size: int) -> int:
    """The size of the next batch, with `remaining` regions to go.

    The least size that holds all of them if little of it is wasted, or else the largest that they fill.
    """
    sizes = [max(1, batch_size >> halving) for halving in range(HALVINGS + 1)]
    holding = [size for size in sizes if size >= remaining >= (1 - MAX_PADDING) * size]
    filled = [size for size in sizes if size <= remaining]
    return min(holding) if holding else max(filled) if filled else sizes[-1]


class _Captured(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    outputs: Any


class BatchGraphs:
    """The graphs of one network. They share their memory with those of all others on the device.

    A batch of a new shape is computed eagerly, which also chooses the kernels, the second is captured, all later ones
    are replayed. Where capturing fails, all is eager from then on.
    """

    def __init__(self) -> None:
        self.captured: dict[tuple[str, torch.Size], _Captured | None] = {}
        self.usable = True

    def clear(self) -> None:
        """Give memory back."""
        self.captured.clear()

    def __call__(self, name: str, function: Callable[[Tensor], Output], batch: Tensor, size: int) -> Output:
        """What `function`, known by `name`, gives for a batch [n, 3, S, S], padded to `size` regions."""
        inputs = _buffer(batch.device, torch.Size((size, *batch.shape[1:])), batch.dtype)
        inputs[: len(batch)] = batch
        key = (name, inputs.shape)
        if self.usable and key in self.captured:
            captured = self.captured[key] = self.captured[key] or self._capture(function, inputs)
            if captured is not None:
                captured.graph.replay()
                outputs: Output = captured.outputs
                return _rows(outputs, len(batch))
        self.captured.setdefault(key, None)
        return _rows(function(inputs), len(batch))

    def _capture(self, function: Callable[[Tensor], Any], inputs: Tensor) -> _Captured | None:
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the GPU meanwhile, to propose.
            with torch.cuda.graph(graph, pool=_pool(inputs.device), capture_error_mode="thread_local"):
                outputs = function(inputs)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self.usable = False
            reason = str(error).splitlines()[0]
            warnings.warn(f"no CUDA graph, which is slower: {reason}", RuntimeWarning, stacklevel=2)
            return None
        return _Captured(graph, inputs, outputs)


def _rows(output: Output, count: int) -> Output:
    """The first rows, as copies: the next replay overwrites the output."""
    return tree_map_only(Tensor, lambda one: one[:count].clone(), output)  # type: ignore[no-any-return]


@lru_cache
def _pool(device: torch.device) -> Any:  # noqa: ARG001
    return torch.cuda.graph_pool_handle()


@lru_cache
def _buffer(device: torch.device, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The input of all graphs of a shape."""
    with torch.inference_mode(mode=False):
        return torch.zeros(shape, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
