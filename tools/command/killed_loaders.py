"""What to tell a user when the system has killed a process that loads images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detection.errors import InputError, is_killed_loader


@contextmanager
def naming_killed_loaders(workers: int, remedy: str) -> Iterator[None]:
    """Turn PyTorch's error about a killed loader process into an `InputError` that ends with how to go on.

    Args:
        workers: loader processes that were asked for.
        remedy: "run the command again", say.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_killed_loader(error):
            raise
        raise InputError(
            f"a loader process was killed, perhaps for want of memory: expected --workers {workers} of them to live; "
            f"{remedy}"
        ) from None
