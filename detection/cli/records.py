"""The records of `detect`: an entry for each image, as JSON and as a printed table."""

import json
import re
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from detection.errors import InputError, printable
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import Inputs, require_replaceable, require_writable
from detection.sources.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from detection.structures.detections import Detections

Record = dict[str, Any]
"""The entry of an image in the JSON file: `image`, `width`, `height`, `seconds`, `detections` (of `Detections.to_dict`)
and `picture`, the path of the annotated picture, if one was written. That of a frame of a video has its number `frame`
and its `time` in seconds. After a failure it has `error`, a line of text."""

_FIRST_RECORD = re.compile(
    rb'\s*\[\s*(\]|\{\s*"image":\s*"(?:[^"\\]|\\.)*"\s*(\}|,\s*"error":|,\s*"width":\s*\d+,\s*"height":\s*\d+\s*'
    rb'(\}|,\s*"(seconds|detections|error)":)))'
)
"""The beginning of a JSON file of `write_records`, or of `detect-evaluate convert --to detect`."""


def are_records(beginning: bytes) -> bool:
    """Return True if a JSON file begins like one of `write_records`; annotations of other programs do not."""
    return _FIRST_RECORD.match(beginning) is not None


def require_records_file(path: Path, *, inputs: Inputs, overwrite: bool) -> None:
    """Check that `write_records` may write a file.

    Raises:
        InputError: naming the file, if it is one of `inputs`, is not to be replaced, cannot be written, or has the name
            of an image or a video: it could then replace an annotated picture or a clip.
    """
    require_replaceable(path, are_records, inputs=inputs, overwrite=overwrite)
    if path.name.lower().endswith((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)):
        raise InputError(f"{path}: expected another name than that of an image or a video")
    require_writable(path)


def write_records(target: str, records: list[Record]) -> None:
    """Write the records as JSON to a file, or to standard output if `target` is "-".

    Raises:
        InputError: naming the file, if it cannot be written; then an earlier file is left as it was.
    """
    text = json.dumps(records, indent=2)
    if target == "-":
        print(text)
    else:
        write_atomically(Path(target), f"{text}\n".encode())


def format_table(record: Record, guesses: Detections | None = None) -> str:
    """Return the text that `detect` prints for an image: a heading, then a row for each detection.

    `guesses` are named where there are no detections, with the option that shows them.
    """
    detections = record["detections"]
    objects = f"{len(detections)} object{'' if len(detections) == 1 else 's'}"
    picture = f" -> {record['picture']}" if "picture" in record else ""
    size = f"{record['width']}x{record['height']} px"
    lines = [printable(f"{record['image']}: {objects} ({size}, {record['seconds']:.1f} s){picture}")]
    if guesses:
        named = ", ".join(f"{name} {score:.3f}" for name, score in zip(guesses.names, guesses.scores, strict=True))
        lines.append(f"  best guesses: {named} (--score-threshold {_round_down(float(guesses.scores[-1]))} shows them)")
    if detections:
        width = max(len("class"), *(len(detection["class"]) for detection in detections))
        lines.append(f"  {'class':{width}}  score  {'x1':>6} {'y1':>6} {'x2':>6} {'y2':>6}")
    for detection in detections:
        corners = " ".join(f"{corner:6.0f}" for corner in detection["box"])
        lines.append(f"  {detection['class']:{width}}  {detection['score']:5.3f}  {corners}")
    return "\n".join(lines)


def _round_down(score: float) -> str:
    """Return the largest number of one digit that is not 0 and is at most `score`, such as "0.07" for 0.0781."""
    exact = Decimal(score)
    return f"{exact.quantize(Decimal(1).scaleb(exact.adjusted()), ROUND_DOWN):f}"
