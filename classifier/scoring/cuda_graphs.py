"""CUDA graphs of a network for batches of a few sizes: one launch for each batch in place of one for each layer."""

import warnings
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from detection.errors import is_out_of_memory, reason_of

Output = TypeVar("Output")

HALVINGS = 3
"""A batch is of the full size, a half, a quarter or an eighth of it; each size has a graph of its own."""

MAX_PADDING = 0.25
"""Largest share of a batch that may be padding, unless the batch is of the smallest size."""


def next_size(remaining: int, batch_size: int) -> int:
    """Return the size of the next batch if `remaining` regions are left.

    This is the smallest size that holds all of them, if at most `MAX_PADDING` of it is padding; otherwise the largest
    size that they fill.
    """
    sizes = [max(1, batch_size >> halving) for halving in range(HALVINGS + 1)]
    holding = [size for size in sizes if size >= remaining >= (1 - MAX_PADDING) * size]
    filled = [size for size in sizes if size <= remaining]
    return min(holding) if holding else max(filled) if filled else sizes[-1]


class _Memory:
    """The memory that all graphs of a device share: the pool that they allocate from, and their inputs.

    A pool ends with the last of its graphs and cannot be used again. So every graph keeps a reference to this object,
    and nothing else does.
    """

    def __init__(self) -> None:
        self.pool: Any = torch.cuda.graph_pool_handle()
        self.inputs: dict[tuple[torch.Size, torch.dtype], Tensor] = {}

    def input(self, like: Tensor) -> Tensor:
        """Return the tensor from which all graphs for batches of this shape and type read."""
        key = (like.shape, like.dtype)
        if key not in self.inputs:
            with torch.inference_mode(mode=False):
                self.inputs[key] = torch.zeros_like(like, memory_format=torch.channels_last)
        return self.inputs[key]


_memories: WeakValueDictionary[torch.device, _Memory] = WeakValueDictionary()


_lock = Lock()
"""Held while a graph is captured, or replayed and its outputs copied: graphs share inputs, and only one thread of a
process may capture."""


class _Captured(NamedTuple):
    memory: _Memory
    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    outputs: Any


class BatchGraphs:
    """The graphs of one network, which share memory with those of all other networks on the device.

    The first batch of a shape is computed eagerly, which also chooses the kernels; the second is captured, and all
    later ones replay the graph. If capturing fails, everything is computed eagerly from then on. Several threads may
    compute batches at the same time.
    """

    def __init__(self) -> None:
        self.captured: dict[tuple[str, torch.Size], _Captured | None] = {}
        self.usable = True

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchGraphs, ()  # a graph belongs to its process, so a copy captures its own

    next_size = staticmethod(next_size)

    def clear(self) -> None:
        """Release all graphs and their memory."""
        with _lock:
            self.captured.clear()

    def __call__(self, name: str, function: Callable[[Tensor], Output], batch: Tensor) -> Output:
        """Return the outputs of `function`, which is known by `name`, for a batch [n, C, H, W]."""
        key = (name, batch.shape)
        with _lock:
            if self.usable and key in self.captured:
                captured = self.captured[key] = self.captured[key] or self._capture(function, batch)
                if captured is not None:
                    captured.inputs.copy_(batch)
                    captured.graph.replay()
                    # The next replay overwrites the outputs, so the caller gets a copy.
                    return tree_map_only(Tensor, torch.clone, captured.outputs)  # type: ignore[no-any-return]
            self.captured.setdefault(key, None)
        return function(batch)

    def _capture(self, function: Callable[[Tensor], Any], like: Tensor) -> _Captured | None:
        memory = _memories.setdefault(like.device, _Memory())
        inputs = memory.input(like)
        graph = torch.cuda.CUDAGraph()
        try:
            # Errors of other threads are not ours: they may use the GPU at the same time, to propose.
            with torch.cuda.graph(graph, pool=memory.pool, capture_error_mode="thread_local"):
                outputs = function(inputs)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self.usable = False
            reason = reason_of(error).splitlines()[0]
            warnings.warn(f"no CUDA graph, which is slower: {reason}", RuntimeWarning, stacklevel=2)
            return None
        return _Captured(memory, graph, inputs, outputs)
