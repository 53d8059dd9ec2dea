"""Training steps replayed as CUDA graphs: one launch in place of one for each layer, which a GPU outruns."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

Function = Callable[[Tensor], Any]

Key = tuple[torch.Size, torch.dtype, torch.dtype | None]
"""What a graph is for: shape and numbers of its input, and the numbers of autocast."""

THIS_THREAD = "thread_local"
"""Whose calls a capture watches; by default it is those of all threads."""


class TrainingGraphs:
    """A function of a network, forward and backward, as a CUDA graph for inputs of the same shape.

    Of inputs that come in a row, the first is computed eagerly, which also chooses the kernels, the second is captured,
    the others are replayed. A single one of another shape, such as the last batch of an epoch, is computed eagerly.
    There is one graph at a time, since each holds the memory of a whole step.

    Where nothing is learned, or not on a GPU, all is eager. So it is after capturing has failed.

    The gradients of a replay lie where those of the next will be, so they cannot be added up over several batches.

    Args:
        network: trained by what follows; it stays the same modules and parameters.
        function: computes tensors of one by parameters of the network, and depends on nothing else.
    """

    def __init__(self, network: nn.Module, function: Function) -> None:
        self.network = network
        self.function = function
        self.usable = True
        self.replays = 0
        self._replay: Function | None = None
        self._captured: Key | None = None
        self._last: Key | None = None

    def __call__(self, inputs: Tensor) -> Any:
        """What the function makes of `inputs`, which need no gradient."""
        if not (self.usable and self._learns_on_a_gpu(inputs)):
            return self.function(inputs)
        key = (inputs.shape, inputs.dtype, _autocast_type())
        if key != self._captured and key == self._last:
            self._replay = self._captured = None  # gives its memory back first
            self._replay = self._capture(inputs)
            self._captured = key
        self._last = key
        if self._replay is None or key != self._captured:
            return self.function(inputs)
        self.replays += 1
        return self._replay(inputs)

    def _learns_on_a_gpu(self, inputs: Tensor) -> bool:
        return inputs.is_cuda and self.network.training and torch.is_grad_enabled()

    def _capture(self, inputs: Tensor) -> Function | None:
        """A graph for inputs like these; statistics, gradients and random numbers stay as they are.

        The graph of gradients of the step before must be gone, or PyTorch cannot capture.
        """
        buffers = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        random_numbers = torch.cuda.get_rng_state(inputs.device)
        number_type = _autocast_type()
        numbers = torch.autocast("cuda", number_type, enabled=number_type is not None, cache_enabled=False)
        try:
            with numbers, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")  # nothing is accumulated here
                replay = graphed(_Form(self.network, self.function), inputs.detach().clone())
        except RuntimeError as error:
            self.usable = False
            _renew_generator(inputs.device)
            warnings.warn(f"no CUDA graph, which is slower: {error}", RuntimeWarning, stacklevel=4)
            return None
        finally:
            torch.cuda.set_rng_state(random_numbers, inputs.device)
            for buffer, kept in buffers:
                buffer.copy_(kept)
        return replay


class _Form(nn.Module):
    """The form in which `make_graphed_callables` finds the parameters."""

    def __init__(self, network: nn.Module, function: Function) -> None:
        super().__init__()
        self.network = network
        self.function = function

    def forward(self, inputs: Tensor) -> Any:
        return self.function(inputs)


def graphed(form: Any, inputs: Tensor) -> Function:
    """The form as a graph. Meanwhile other threads may do what cannot be captured: the loader's pins memory."""
    make: Any = torch.cuda.make_graphed_callables
    if "capture_error_mode" in inspect.signature(make).parameters:
        return cast(Function, make(form, (inputs,), allow_unused_input=True, capture_error_mode=THIS_THREAD))
    original = torch.cuda.graph  # which PyTorch 2.11 calls without a mode
    torch.cuda.graph = partial(original, capture_error_mode=THIS_THREAD)  # type: ignore[misc, assignment]
    try:
        return cast(Function, make(form, (inputs,), allow_unused_input=True))
    finally:
        torch.cuda.graph = original  # type: ignore[misc]


def _autocast_type() -> torch.dtype | None:
    return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None


def _renew_generator(device: torch.device) -> None:
    """Let random numbers be drawn again: after a capture that failed, the generator still waits for its end."""
    index = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.default_generators[index].graphsafe_set_state(torch.Generator(device))
