"""The file in which `detect-evaluate run` and `detect --json` keep the results of each image as soon as it is done.

A line is the CRC-32 of its JSON, a space, and the JSON. The first line has the settings and the class names. Each line
is written in one piece, so that a run that was killed leaves at most its last line incomplete.
"""

import json
import zlib
from collections.abc import Collection
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from detection.errors import InputError
from detection.formats.settings import first_difference
from detection.runtime.atomic_write import naming_target, write_all, write_atomically
from detection.runtime.file_fingerprint import FileFingerprint
from detection.structures.arrays import FloatArray
from detection.structures.detections import Detections
from detection.structures.split_columns import SplitDetections, SplitObjects, select_images, split_detections

FORMAT = "inception-rcnn detections"
VERSION = 1
NAME = "results.jsonl"
GROUND_TRUTH_NAME = "ground_truth.json"
"""The names of the files in the folder of a run."""


class StoredResult(NamedTuple):
    """The detections in an image, as a line of the file holds them.

    `size` is the height and width of the image. `covered` is the number of its objects that a proposal overlaps with an
    IoU of 0.5 or more, and None if nobody has counted them. `file` identifies the file of the image, and is None in
    older files, which lack it.
    """

    image_id: str
    size: tuple[int, int]
    proposal_count: int
    detections: Detections
    covered: int | None = None
    file: FileFingerprint | None = None


class Results(NamedTuple):
    """The content of a file: results of `images` by their id, and its `length` in bytes without an incomplete line."""

    settings: dict[str, Any]
    class_names: tuple[str, ...]
    images: dict[str, StoredResult]
    length: int


def read_results(path: Path) -> Results:
    """Read a file of results; a last line that is incomplete or damaged is skipped.

    Raises:
        InputError: naming the file, and the line if there is one, if it is missing, of another format or version, or
            damaged before its last line.
    """
    try:
        head, *lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: expected the results of a run: {error.strerror}") from None
    header = _content(head) if lines else None
    if not isinstance(header, dict) or header.get("format") != FORMAT or header.get("version") != VERSION:
        raise InputError(f"{path}:1: expected results of a run, of version {VERSION}, got {head[:80]!r}")
    settings, class_names = header.get("settings"), _as_names(header.get("class_names"))
    if not isinstance(settings, dict) or class_names is None:
        raise InputError(f"{path}:1: expected the settings and class names of a run, got {head[:80]!r}")
    images: dict[str, StoredResult] = {}
    length = len(head) + 1
    for number, line in enumerate(lines[:-1], start=2):
        result = _stored_result(_content(line), class_names)
        if result is None and number == len(lines):
            break
        if result is None:
            raise InputError(
                f"{path}:{number}: expected the results of an image as they were written, got damaged ones"
            )
        if result.image_id in images:
            raise InputError(f"{path}:{number}: expected each image once, got '{result.image_id}' again")
        images[result.image_id] = result
        length += len(line) + 1
    return Results(settings, class_names, images, length)


def select_results(results: Results, objects: SplitObjects, source: Path) -> tuple[SplitObjects, SplitDetections]:
    """Return the objects and the detections of only those images that have results.

    Args:
        results: the results.
        objects: the objects of all images.
        source: the file of the results, for error messages.

    Raises:
        InputError: naming `source`, if the results are for other images or classes than the objects.
    """
    index = objects.index
    if results.class_names != index.class_names:
        raise InputError(f"{source}: expected results for the {len(index.class_names)} classes of the ground truth")
    unknown = sorted(results.images.keys() - set(index.image_ids))
    if unknown:
        raise InputError(f"{source}: expected results for images of the ground truth, got '{unknown[0]}'")
    rows = np.array([row for row, name in enumerate(index.image_ids) if name in results.images], np.int64)
    selected = select_images(objects, rows)
    detections = {name: result.detections for name, result in results.images.items()}
    return selected, split_detections(selected.index, detections)


class ResultsWriter:
    """Writes a file of results, or continues one.

        with ResultsWriter(path, settings, class_names) as writer:
            writer.add(result)

    Nothing is written before the `with` block. When `add` returns, its line has been passed to the operating system.
    Only one process at a time may write to a file.

    Args:
        path: the file; its folder is created if necessary.
        settings: the settings on which the results depend, as values for JSON.
        class_names: the names of the classes.

    Raises:
        InputError: naming the file, if it exists and is no file of results, or has other settings or classes.
    """

    def __init__(self, path: Path, settings: dict[str, Any], class_names: tuple[str, ...]) -> None:
        self.path = path
        self.class_names = class_names
        header = {"format": FORMAT, "version": VERSION, "settings": settings, "class_names": class_names}
        self._head = _line(header)
        self._length = 0
        self.images: dict[str, StoredResult] = {}
        if path.exists():
            results = read_results(path)
            require_settings(path, results.settings, settings)
            if results.class_names != class_names:
                raise InputError(f"{path}: expected results for the classes of this run, got those for others")
            self.images, self._length = results.images, results.length

    def drop(self, image_ids: Collection[str]) -> None:
        """Leave out results from now on; the file is written anew without them at the start of the `with` block."""
        if image_ids:
            self.images = {name: result for name, result in self.images.items() if name not in image_ids}
            self._length = 0

    def __enter__(self) -> Self:
        """Open the file, and cut off an incomplete last line."""
        with naming_target(self.path, expected="to write results there"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._length:
                content = b"".join([self._head, *(_line(_as_json(result)) for result in self.images.values())])
                write_atomically(self.path, content)
                self._length = len(content)
            self._file = FileIO(self.path, "r+")
            self._file.truncate(self._length)
            self._file.seek(self._length)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, result: StoredResult) -> None:
        """Append the results of an image.

        Raises:
            InputError: naming the file, if it cannot be written.
            ValueError: if the file already has results of this image.
        """
        if result.image_id in self.images:
            raise ValueError(f"expected each image once, got {result.image_id} again")
        with naming_target(self.path, expected="to write results there"):
            write_all(self._file, _line(_as_json(result)))
        self.images[result.image_id] = result


def require_settings(path: Path, settings: dict[str, Any], expected: dict[str, Any]) -> None:
    """Check that results were made with the `expected` settings.

    Raises:
        InputError: naming the file and the first setting that differs.
    """
    if difference := first_difference(settings, expected):
        name, wanted, stored = difference
        raise InputError(
            f"{path}: expected results made with {name} {wanted}, got some with {stored}; choose another folder with "
            "--results"
        )


def _line(content: Any) -> bytes:
    text = json.dumps(content, default=str).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _content(line: bytes) -> Any:
    """Return the JSON of a line, or None if the line is damaged."""
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no line of ours has a right checksum and no JSON
        return None


def _as_names(content: Any) -> tuple[str, ...] | None:
    """Return the names in a list, or None if the content is something else."""
    is_list = isinstance(content, list) and all(isinstance(name, str) for name in content)
    return tuple(content) if is_list else None


def _as_json(result: StoredResult) -> dict[str, Any]:
    detections = result.detections
    return {
        "image": result.image_id,
        "size": list(result.size),
        "proposals": result.proposal_count,
        "labels": detections.labels.tolist(),
        "scores": _short(detections.scores),
        "boxes": _short(detections.boxes.ravel()),
        **({} if result.covered is None else {"covered": result.covered}),
        **({} if result.file is None else {"file": list(result.file)}),
    }


def _short(values: FloatArray) -> list[float]:
    """Return the shortest decimal numbers that are read as the same float32."""
    return [float(str(value)) for value in values]


def _stored_result(content: Any, class_names: tuple[str, ...]) -> StoredResult | None:
    """Return the results of an image, or None if the content is something else."""
    try:
        height, width = content["size"]
        with np.errstate(over="ignore"):  # a number that float32 cannot hold becomes infinite, which is refused
            boxes = np.array(content["boxes"], np.float32).reshape(-1, 4)
            detections = Detections(boxes, content["scores"], np.array(content["labels"], np.int64), class_names)
        covered = int(content["covered"]) if "covered" in content else None
        file = FileFingerprint(*map(int, content["file"])) if "file" in content else None
        return StoredResult(
            str(content["image"]), (int(height), int(width)), int(content["proposals"]), detections, covered, file
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
