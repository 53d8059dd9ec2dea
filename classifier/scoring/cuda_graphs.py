"""Batches of a few fixed sizes, replayed as CUDA graphs: a launch for each batch in place of one for each layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from detection.runtime.device import is_out_of_memory

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


class _Memory:
    """What all graphs of a device share: the pool that they allocate from, and their inputs.

    A pool ends with the last of its graphs and cannot be used again, so each graph keeps this alive, and nothing else.
    """

    def __init__(self) -> None:
        self.pool: Any = torch.cuda.graph_pool_handle()
        self.inputs: dict[tuple[torch.Size, torch.dtype], Tensor] = {}

    def input(self, like: Tensor) -> Tensor:
        """The input of all graphs of a shape."""
        key = (like.shape, like.dtype)
        if key not in self.inputs:
            with torch.inference_mode(mode=False):
                self.inputs[key] = torch.zeros_like(like, memory_format=torch.channels_last)
        return self.inputs[key]


_memories: WeakValueDictionary[torch.device, _Memory] = WeakValueDictionary()


class _Captured(NamedTuple):
    memory: _Memory
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
        """What `function`, known by `name`, gives for a batch [n, C, H, W], padded to `size` regions."""
        key = (name, torch.Size((size, *batch.shape[1:])))
        if self.usable and key in self.captured:
            captured = self.captured[key] = self.captured[key] or self._capture(function, _padded(batch, size))
            if captured is not None:
                captured.inputs[: len(batch)] = batch
                captured.graph.replay()
                outputs: Output = captured.outputs
                return _rows(outputs, len(batch))
        self.captured.setdefault(key, None)
        return compute_padded(function, batch, size)

    def _capture(self, function: Callable[[Tensor], Any], like: Tensor) -> _Captured | None:
        memory = _memories.setdefault(like.device, _Memory())
        inputs = memory.input(like)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the GPU meanwhile, to propose.
            with torch.cuda.graph(graph, pool=memory.pool, capture_error_mode="thread_local"):
                outputs = function(inputs)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self.usable = False
            reason = str(error).splitlines()[0]
            warnings.warn(f"no CUDA graph, which is slower: {reason}", RuntimeWarning, stacklevel=2)
            return None
        return _Captured(memory, graph, inputs, outputs)


def compute_padded(function: Callable[[Tensor], Output], batch: Tensor, size: int) -> Output:
    """What `function` gives for a batch [n, C, H, W] that it sees padded to `size` regions."""
    return _rows(function(_padded(batch, size)), len(batch))


def _padded(batch: Tensor, size: int) -> Tensor:
    """The batch with zeros after it, in channels_last memory."""
    whole = batch if len(batch) == size else functional.pad(batch, (0, 0) * 3 + (0, size - len(batch)))
    return whole.contiguous(memory_format=torch.channels_last)


def _rows(output: Output, count: int) -> Output:
    """The first rows, as copies: the next replay overwrites the output."""
    return tree_map_only(Tensor, lambda one: one[:count].clone(), output)  # type: ignore[no-any-return]
