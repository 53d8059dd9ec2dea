"""Every damaged input ends in a result or in an `InputError`, within its time and memory."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from detection.errors import InputError
from tools.fuzz.inputs.image_files import example_images
from tools.fuzz.inputs.kinds import KINDS, Kind
from tools.fuzz.inputs.mutations.image_changes import PNG_START, change_image
from tools.fuzz.inputs.mutations.tree_changes import change_json, change_tree
from tools.fuzz.inputs.target import Limits, Target
from tools.fuzz.inputs.worker import read_one

SEED = 20
COUNTS = {"images": 150, "configurations": 20, "weights": 30}
"""The number of inputs of a kind; of the other kinds it is 40."""


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    """A long run has the same inputs and more: `python -m tools.fuzz inputs --seed 20 --count 10000`."""
    target = KINDS[kind].make(tmp_path)
    outcomes = [
        read_one(KINDS[kind], target, np.random.default_rng([SEED, number]))[0]
        for number in range(COUNTS.get(kind, 40))
    ]
    faults = {number: reason for number, reason in enumerate(outcomes) if reason not in ("result", "refused")}
    assert faults == {}
    assert "refused" in outcomes  # the changes do damage
    assert "result" in outcomes or kind == "caches"  # and leave some files whole


def test_all_inputs_together_are_five_hundred() -> None:
    assert sum(COUNTS.get(kind, 40) for kind in KINDS) >= 500


class Fake(Target):
    """A target that does what it is told instead of reading a file."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def write(self, random: np.random.Generator) -> None: ...

    def read(self) -> None:
        self.act()


def fail(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def spend_time() -> None:
    sum(number * number for number in range(2_000_000))


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (lambda: None, "result"),
        (fail(InputError("a.jpg: expected an image")), "refused"),
        (fail(InputError("")), "a message ''"),
        (fail(ValueError("a fault")), "ValueError: a fault"),
        (fail(RecursionError("too deep")), "RecursionError: too deep"),
        (spend_time, "s, more than the limit of 0.01 s"),
        (lambda: np.ones(20_000_000), "MiB, more than the limit of 50 MiB"),
    ],
)
def test_outcomes(act: Callable[[], Any], outcome: str) -> None:
    kind = Kind(lambda _: Fake(act), Limits(seconds=0.01 if act is spend_time else 10, mebibytes=50))
    reason, _, _ = read_one(kind, Fake(act), np.random.default_rng(0))
    assert reason == outcome if outcome in ("result", "refused") else outcome in reason


@pytest.mark.parametrize("kind", ["images", "voc", "coco", "results"])
def test_a_seed_and_a_number_make_the_same_input(kind: str, tmp_path: Path) -> None:
    contents = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        target = KINDS[kind].make(tmp_path / folder)
        for number in (3, 7) if folder == "first" else (7,):  # earlier inputs must not matter
            target.write(np.random.default_rng([1, number]))
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]


def test_changed_chunks_have_right_checksums() -> None:
    png = next(content for content in example_images() if content.startswith(PNG_START))
    changed = [change_image(png, np.random.default_rng(number)) for number in range(50)]
    assert len(set(changed)) > 40
    assert sum(has_right_checksums(content) for content in changed) >= 30


def has_right_checksums(content: bytes) -> bool:
    """Return True if a file consists of chunks whose checksums fit, of whatever content."""
    position = len(PNG_START)
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        chunk, stored = content[position + 4 : position + 8 + length], content[position + 8 + length :][:4]
        if struct.pack(">I", zlib.crc32(chunk)) != stored:
            return False
        position += length + 12
    return True


def test_trees_are_changed_and_copied() -> None:
    content: dict[str, Any] = {"a": [1, {"b": "c"}], "d": None}
    before = json.dumps(content)
    changed = [json.dumps(change_tree(content, np.random.default_rng(number)), default=str) for number in range(200)]
    assert json.dumps(content) == before
    assert len(set(changed)) > 100
    assert change_json({}, np.random.default_rng(0))  # also of an empty one


def test_examples_are_whole() -> None:
    codings = set()
    for content in example_images():
        with PIL.Image.open(io.BytesIO(content)) as image:
            image.load()
            codings.add((image.format, image.mode))
    assert {name for name, _ in codings} == {"JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"}
    assert len(codings) >= 20
