"""Errors in the files of a data set: raised at once, or collected so that all can be listed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from detection.errors import InputError


@dataclass(eq=False)
class Faults:
    """Receives the errors that the readers of data sets find: raises the first, or collects all of them in `errors`.

    A reader names the place in the file, and raises an `InputError` without the place:

        with faults.at(f"{file}:{line}"):
            raise InputError("expected a class of the data set, got 'unicorn'")

    Args:
        keep: collect the errors and continue after the `with` block, instead of raising the first error.
    """

    keep: bool = False
    errors: list[InputError] = field(default_factory=list, init=False)

    @contextmanager
    def at(self, place: str | Callable[[], str] = "") -> Iterator[None]:
        """Report an `InputError` of the block with `place` in front; a function is only called if there is an error."""
        try:
            yield
        except InputError as error:
            prefix = place() if callable(place) else place
            self.report(InputError(f"{prefix}: {error}") if prefix else error)

    def report(self, error: InputError) -> None:
        """Raise or collect an error that names its place."""
        if not self.keep:
            raise error from None
        self.errors.append(error)
