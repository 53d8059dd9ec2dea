"""Random changes of bytes, for files of any format."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from numpy.random import Generator

EDGES = (0, 1, 2, 7, 8, 16, 64, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31,
         2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
"""Numbers at which programs go wrong."""

LONGEST = 64
"""The largest number of bytes that a change removes, repeats or inserts, unless it takes a share of the file."""

MAX_BYTES = 1 << 20
"""Mutated files are cut to this length."""

Item = TypeVar("Item")
Change = Callable[[bytearray, Generator], None]


def change_bytes(content: bytes, random: Generator, *, most: int = 4) -> bytes:
    """Return the content after one to `most` random changes."""
    changed = bytearray(content)
    for _ in range(random.integers(1, most + 1)):
        pick(CHANGES, random)(changed, random)
    return bytes(changed[:MAX_BYTES])


def pick(items: Sequence[Item], random: Generator) -> Item:
    """Return one of the items."""
    return items[int(random.integers(len(items)))]


def place_in(content: Sequence[object], random: Generator) -> int:
    """Return an index, which half of the time lies in the first 64 places, where files have their headers."""
    length = min(len(content), 64) if random.random() < 0.5 else len(content)
    return int(random.integers(length)) if length else 0


def _flip_bit(content: bytearray, random: Generator) -> None:
    if content:
        content[place_in(content, random)] ^= 1 << int(random.integers(8))


def _set_byte(content: bytearray, random: Generator) -> None:
    if content:
        content[place_in(content, random)] = int(random.integers(256))


def _set_number(content: bytearray, random: Generator) -> None:
    """Write one of `EDGES` as a number of 1 to 8 bytes."""
    size = pick((1, 2, 4, 8), random)
    start = place_in(content, random)
    number = pick(EDGES, random) % 256**size
    content[start : start + size] = number.to_bytes(size, pick(("little", "big"), random))


def _remove(content: bytearray, random: Generator) -> None:
    start = place_in(content, random)
    del content[start : start + int(random.integers(1, LONGEST))]


def _repeat(content: bytearray, random: Generator) -> None:
    start = place_in(content, random)
    content[start:start] = content[start : start + int(random.integers(1, LONGEST))] * int(random.integers(1, 9))


def _insert(content: bytearray, random: Generator) -> None:
    start = place_in(content, random)
    content[start:start] = random.bytes(int(random.integers(1, LONGEST)))


def _overwrite(content: bytearray, random: Generator) -> None:
    """Write a range of the file over another one."""
    start, source = place_in(content, random), place_in(content, random)
    size = int(random.integers(1, LONGEST))
    content[start : start + size] = content[source : source + size]


def _truncate(content: bytearray, random: Generator) -> None:
    del content[int(random.integers(len(content) + 1)) :]


def _remove_share(content: bytearray, random: Generator) -> None:
    start, end = sorted(random.integers(len(content) + 1, size=2).tolist())
    del content[start:end]


CHANGES: tuple[Change, ...] = (
    _flip_bit, _flip_bit, _set_byte, _set_byte, _set_number, _set_number, _remove, _repeat, _insert, _overwrite,
    _truncate, _remove_share,
)  # fmt: skip
