"""The message for a user when the system has killed a process that loads images, usually for want of memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from detection.errors import InputError, is_killed_loader


@contextmanager
def naming_killed_loaders(workers: int, remedy: str) -> Iterator[None]:
    """Turn PyTorch's error about a killed loader process into an `InputError` that ends with `remedy`.

    Args:
        workers: the number of loader processes that were asked for.
        remedy: what the user should do, such as "run the command again".
    """
    try:
        yield
    except (RuntimeError, ConnectionResetError) as error:  # the latter if it was killed while it sent something
        if isinstance(error, RuntimeError) and not is_killed_loader(error):
            raise
        raise InputError(
            f"a loader process was killed, perhaps for want of memory: expected --workers {workers} of them to live; "
            f"{remedy}"
        ) from None
