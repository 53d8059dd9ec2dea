"""What is wrong with a data set: raised at once, or all of it kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from detection.errors import InputError


class Faults:
    """Takes what readers find wrong, and decides whether they go on.

    A reader says where it is and raises `InputError` without the place:

        with faults.at(f"{file}:{line}"):
            raise InputError("expected a class of the data set, got 'unicorn'")

    Args:
        keep: collect the errors in `found` and go on behind the `with` block, instead of raising the first.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self.found: list[InputError] = []

    @contextmanager
    def at(self, place: str | Callable[[], str] = "") -> Iterator[None]:
        """Report an `InputError` of the block, with `place` in front; a function is called only where there is one."""
        try:
            yield
        except InputError as error:
            prefix = place() if callable(place) else place
            self.report(InputError(f"{prefix}: {error}") if prefix else error)

    def report(self, error: InputError) -> None:
        """Raise the error, which names its place, or keep it."""
        if not self.keep:
            raise error from None
        self.found.append(error)
