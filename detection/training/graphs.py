"""Training steps that are replayed as CUDA graphs.

A GPU is faster than the host can launch the kernels of single layers; a graph launches all of them at once.
"""

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

Function = Callable[[Tensor], Any]

Key = tuple[torch.Size, torch.dtype, torch.dtype | None]
"""The inputs that a graph fits: their shape and number type, and the number type of autocast."""

THIS_THREAD = "thread_local"
"""Mode in which a capture fails only for forbidden calls of its own thread; by default calls of any thread count."""


class TrainingGraphs:
    """A function of a network, forward and backward, as a CUDA graph for inputs of the same shape.

    Of consecutive inputs with the same shape, the first is computed eagerly, which also chooses the kernels; the second
    is captured as a graph; the others replay the graph. A single input of another shape, such as the last batch of an
    epoch, is computed eagerly. There is one graph at a time, because each holds the memory of a whole step.

    Everything is computed eagerly without a GPU, when the network is not training, and after a capture has failed.

    A replay writes its gradients to the memory that the next replay also uses, so gradients cannot be added up over
    several batches.

    Args:
        network: the network; its modules and parameters must stay the same objects.
        function: computes tensors from a tensor by the parameters of the network, and depends on nothing else.
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
        """Return the function of `inputs`, which must not need gradients."""
        if not (self.usable and self._learns_on_a_gpu(inputs)):
            return self.function(inputs)
        key = (inputs.shape, inputs.dtype, _autocast_type())
        if key != self._captured and key == self._last:
            self._replay = self._captured = None  # frees its memory first
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
        """Return a graph for inputs of this shape, or None if the capture fails.

        Statistics, gradients and the state of the random numbers stay unchanged. PyTorch cannot capture while the
        autograd graph of the step before still exists.
        """
        buffers = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        random_numbers = torch.cuda.get_rng_state(inputs.device)
        number_type = _autocast_type()
        numbers = torch.autocast("cuda", number_type, enabled=number_type is not None, cache_enabled=False)
        try:
            with numbers, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")  # no gradients are accumulated
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
    """The function as a module, so that `make_graphed_callables` finds the parameters of the network."""

    def __init__(self, network: nn.Module, function: Function) -> None:
        super().__init__()
        self.network = network
        self.function = function

    def forward(self, inputs: Tensor) -> Any:
        return self.function(inputs)


def graphed(form: Any, inputs: Tensor) -> Function:
    """Return the module as a graph.

    During the capture, other threads may make calls that cannot be captured: the loader pins memory in a thread.
    """
    make: Any = torch.cuda.make_graphed_callables
    if "capture_error_mode" in inspect.signature(make).parameters:
        return cast(Function, make(form, (inputs,), allow_unused_input=True, capture_error_mode=THIS_THREAD))
    original = torch.cuda.graph  # PyTorch 2.11 calls it without a mode
    torch.cuda.graph = partial(original, capture_error_mode=THIS_THREAD)  # type: ignore[misc, assignment]
    try:
        return cast(Function, make(form, (inputs,), allow_unused_input=True))
    finally:
        torch.cuda.graph = original  # type: ignore[misc]


def _autocast_type() -> torch.dtype | None:
    return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None


def _renew_generator(device: torch.device) -> None:
    """Let the generator draw random numbers again; after a failed capture it still waits for the end of the capture."""
    index = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.default_generators[index].graphsafe_set_state(torch.Generator(device))
