"""What networks need to work in other processes: copies of them, and threads after a fork."""

import os
import pickle
from typing import Any

import torch

from detection.errors import InputError

_PROCESS = os.getpid()
"""The process that imported this module; a fork of it has another number."""


class Portable:
    """Base of objects that hold networks, which can be pickled, copied and sent to other processes.

    The state becomes bytes at once. Otherwise `multiprocessing` would move each tensor into shared memory, of which
    containers have little, and would keep a file open for it.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), pickle.dumps(self.__dict__, protocol=pickle.HIGHEST_PROTOCOL))


def _restore(kind: type[Portable], state: bytes) -> Portable:
    restored = kind.__new__(kind)
    restored.__dict__.update(pickle.loads(state))
    return restored


def prepare_forked(device: torch.device) -> None:
    """Let a network be used in a process that was forked; in other processes this does nothing.

    A fork has none of the threads that PyTorch started before, and would wait for them for ever. So it uses one thread.

    Raises:
        InputError: if the device is a GPU, which a fork cannot use.
    """
    if os.getpid() == _PROCESS:
        return
    if device.type == "cuda" and not torch.cuda.is_initialized():
        expected = "expected a process that loads its own detector, or that is started by 'spawn'"
        raise InputError(f"device {device}: {expected}, got a fork of one that uses the GPU")
    if torch.get_num_threads() > 1:  # in each thread of the process, as each has a number of its own
        torch.set_num_threads(1)
