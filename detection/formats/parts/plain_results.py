"""A fast parser of COCO's results, for files that hold nothing unusual."""

import re
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np

from detection.formats.parts.checked_rows import Rows

BLOCK = 1 << 16
"""The number of bytes that are read at once. The objects that they hold fit the processor's cache."""

LONGEST = 1 << 20
"""The number of bytes within which an item must end."""

_BETWEEN_ITEMS = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*(?=\{)")


class Result(msgspec.Struct, gc=False):
    """A detection in a file of results; its other fields are passed over."""

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    score: float
    id: int | float | str | msgspec.UnsetType = msgspec.UNSET


_LIST = msgspec.json.Decoder(list[Result])
_IMAGE, _CATEGORY, _BOX, _SCORE, _ID = map(attrgetter, Result.__struct_fields__)


def read_columns(path: Path) -> Rows | None:
    """Return `image_id` and `category_id`, both int64 [N], `bbox` float64 [N, 4] and `score` float64 [N] of a file.

    Returns None for a file that cannot be read, that is not such a list, in which an `id` occurs twice, or that has
    numbers of more than 64 bits.
    """
    known_ids: set[int | float | str] = set()
    id_count = 0
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))]
    try:
        for block in _blocks(path):
            results = _LIST.decode(block)
            ids = [value for value in map(_ID, results) if value is not msgspec.UNSET] if b'"id"' in block else []
            known_ids.update(ids)
            id_count += len(ids)
            count = len(results)
            images, categories = (np.fromiter(map(field, results), np.int64, count) for field in (_IMAGE, _CATEGORY))
            boxes = np.fromiter(chain.from_iterable(map(_BOX, results)), np.float64, 4 * count)
            parts.append((images, categories, boxes, np.fromiter(map(_SCORE, results), np.float64, count)))
    except (OSError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return None
    images, categories, boxes, scores = map(np.concatenate, zip(*parts, strict=True))
    largest = max(boxes.max(initial=0), -boxes.min(initial=0), scores.max(initial=0), -scores.min(initial=0))
    if len(known_ids) < id_count or largest >= 2**63:
        return None
    return images, categories, boxes.reshape(-1, 4), scores


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the items of a list in blocks, each the text of a list.

    If a block ends within an item, behind an object in one of its fields, then it is malformed.

    Raises:
        msgspec.DecodeError: if the text is no list, or has a long item.
    """
    with path.open("rb") as file:
        rest = file.read(BLOCK).lstrip(b" \t\n\r")
        if not rest.startswith(b"["):
            raise msgspec.DecodeError("expected a list")
        while chunk := file.read(BLOCK):
            length = len(rest)
            rest += chunk
            if border := _BETWEEN_ITEMS.search(rest, length):
                yield rest[: border.start() + 1] + b"]"
                rest = b"[" + rest[border.end() :]
            elif len(rest) > LONGEST:
                raise msgspec.DecodeError("expected short items")
        yield rest
