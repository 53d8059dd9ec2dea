"""`Target`, a kind of damaged input, which it writes and reads; `Limits` are those of reading one input."""

from typing import NamedTuple, Protocol

from numpy.random import Generator


class Target(Protocol):
    """A kind of input in a folder of its own: `write` makes a damaged input, `read` reads it as the package does."""

    def write(self, random: Generator) -> None:
        """Write a new input into the folder; the same state of `random` gives the same input."""

    def read(self) -> None:
        """Read the input that was written last.

        Raises:
            InputError: for a damaged input. Any other exception is a fault of the package.
        """


class Limits(NamedTuple):
    """The limits of the reading of an input: seconds of processor time, and MiB of memory on top of the process."""

    seconds: float
    mebibytes: float
