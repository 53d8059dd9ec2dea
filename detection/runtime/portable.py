"""Base class that lets a detector be pickled and copied."""

import pickle
from typing import Any


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
