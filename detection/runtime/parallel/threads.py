"""The number of threads that loops and networks use; with PyTorch, its own number counts.

Each thread of the process has a number of its own, so that threads which work on different images can share the cores.
"""

import os
import sys
import threading
from typing import Any

from detection.runtime.parallel.ordered_map import available_cores

_own = threading.local()


def thread_count() -> int:
    """Return the number of threads that a computation may use which this thread starts."""
    if (torch := loaded_torch()) is not None:
        return int(torch.get_num_threads())
    return getattr(_own, "count", None) or _default_count()


def set_thread_count(count: int) -> None:
    """Set the number of threads that computations may use which this thread starts."""
    _own.count = count
    if (torch := loaded_torch()) is not None:
        torch.set_num_threads(count)


def loaded_torch() -> Any:
    """Return the module `torch` if something in this process has imported it, or else None."""
    return sys.modules.get("torch")


def _default_count() -> int:
    """Return the number that the environment sets for all programs, or else that of the cores."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdecimal() and int(named) > 0 else available_cores()
