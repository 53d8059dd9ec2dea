"""The command `detect`: boxes with names on photos."""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import PIL.Image
from tqdm import tqdm

from detection import __version__
from detection.cli.drawing import draw_detections
from detection.cli.many_images import Found, detect_in_all, find_sharing
from detection.configuration import load_detector
from detection.errors import InputError
from detection.image import find_images
from detection.runtime.ordered_map import available_cores
from detection.runtime.second_process import compiled_process

ANNOTATED_SUFFIX = ".detections.png"

COMPILED = ("proposals.selective_search.search", "classifier.warp.numba_loops")
"""What the shipped stages call of Numba; other configurations may waste a core with it."""

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of the signal."""

Record = dict[str, Any]
"""What the JSON file says of an image: `image`, `width`, `height`, `seconds`, `detections` (as `Detections.to_dict`),
and `picture`, the annotated one, if it was written. Where something failed there is `error`, a line of text."""


def build_parser() -> argparse.ArgumentParser:
    """The options of `detect`."""
    parser = argparse.ArgumentParser(prog="detect", description="Find objects in photos, and draw and list them.")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders or glob patterns")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="of the annotated pictures; default: the image's")
    parser.add_argument("--json", metavar="FILE", help="write a record of each image as JSON; - for standard output")
    parser.add_argument("--config", metavar="FILE", help="YAML file of a detector; default: the shipped detector")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: a GPU where there is one")
    parser.add_argument("--score-threshold", type=_share, metavar="0-1", help="show detections from this score on")
    parser.add_argument("--max-detections", type=_count, metavar="N", help="show at most the best N of an image")
    parser.add_argument("--no-image", action="store_true", help="write no annotated pictures")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def run() -> None:
    """Run the command as a process of its own."""
    gc.disable()  # until the first image is done: imports make half a million objects that nearly all stay
    status = main(second_process=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written. Python would wait for threads that are still at an image after Ctrl-C, which nobody wants any
    # more, and take a second to take down what it has loaded.
    os._exit(status)


def main(arguments: Sequence[str] | None = None, *, second_process: bool = False) -> int:
    """Run the command; returns the exit status: 0, 1 if anything could not be done, or 130 if interrupted.

    With a `second_process` a lone image is done sooner, see `detection.runtime.second_process`.
    """
    options = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be printable
    records: list[Record] = []
    status, stopped_by = 0, ""
    try:
        detect(options, records, second_process=second_process)
        sys.stdout.flush()
    except InputError as error:
        stopped_by = str(error)
    except KeyboardInterrupt:
        status, stopped_by = INTERRUPTED, "interrupted"
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        status = 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
    problems = [record.get("error", "") for record in records] + [stopped_by]
    for problem in filter(None, problems):
        print(f"detect: {' '.join(problem.splitlines())}", file=sys.stderr)
    return status or int(any(problems))


def detect(options: argparse.Namespace, records: list[Record], *, second_process: bool) -> None:
    """Detect in all images of the command line, and append a record of each to `records`, in that order.

    Sources without images come first. Whatever stops a batch, the JSON file holds the records so far.

    Raises:
        InputError: if nothing can be done at all, as with a broken configuration.
    """
    paths = _find_images(options.images, records)
    if not paths:
        _write_json(options.json, records)
        return
    helped = second_process and len(paths) == 1 and available_cores() > 1
    with compiled_process(COMPILED) if helped else nullcontext():
        _detect_in_all(paths, options, records)


def _detect_in_all(paths: list[Path], options: argparse.Namespace, records: list[Record]) -> None:
    detector = load_detector(options.config, options.device)
    if options.score_threshold is not None:
        detector.score_threshold = options.score_threshold
    if options.max_detections is not None:
        detector.max_detections = options.max_detections
    _prepare_output(options)
    pictures = {} if options.no_image else _picture_paths(paths, options.output)
    coming = detect_in_all(paths, detector, find_sharing(len(paths)))
    progress = tqdm(total=len(paths), unit="image", disable=True if options.quiet or len(paths) == 1 else None)
    try:
        with closing(coming), progress:
            for path, found in zip(paths, coming, strict=True):
                records.append(record := _record(path, found, pictures.get(path)))
                if "detections" in record and not options.quiet and options.json != "-":
                    tqdm.write(format_table(record))
                progress.update()
                gc.enable()  # which `run` has put off
    finally:
        _write_json(options.json, records)


def _find_images(sources: Sequence[str], records: list[Record]) -> list[Path]:
    """The images to read; a source without any adds its record.

    Annotated pictures, which an earlier run may have left in a folder, are taken only by their own name.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        paths, errors = find_images([source])
        kept = [path for path in paths if path == Path(source) or not path.name.endswith(ANNOTATED_SUFFIX)]
        if paths and not kept:
            errors = [InputError(f"{source}: expected images, got only annotated ones (*{ANNOTATED_SUFFIX})")]
        found.update({path.absolute(): path for path in kept})
        records.extend({"image": source, "error": str(error)} for error in errors)
    return list(found.values())


def _picture_paths(paths: list[Path], folder: Path | None) -> dict[Path, Path]:
    """Where the annotated picture of each image goes; those of the same name get numbers, and no image is replaced."""
    targets: dict[Path, Path] = {}
    taken = set(paths)
    for path in paths:
        parent = path.parent if folder is None else folder
        target = parent / f"{path.stem}{ANNOTATED_SUFFIX}"
        number = 2
        while target in taken:
            target = parent / f"{path.stem}_{number}{ANNOTATED_SUFFIX}"
            number += 1
        taken.add(target)
        targets[path] = target
    return targets


def _prepare_output(options: argparse.Namespace) -> None:
    """Find out before the work, not after it, that its results could not be written."""
    if options.output is not None and not options.no_image:
        with _writing(options.output):
            options.output.mkdir(parents=True, exist_ok=True)
    if options.json != "-":
        _write_json(options.json, [])


def _record(path: Path, found: Found | InputError, picture: Path | None) -> Record:
    """The record of an image; where only the picture could not be written, it has detections and an error."""
    record: Record = {"image": str(path)}
    try:
        if isinstance(found, InputError):
            raise found
        image, detections, seconds = found
        record |= {"width": image.shape[1], "height": image.shape[0], "seconds": round(seconds, 3)}
        record["detections"] = detections.to_dict()
        if picture is not None:
            annotated = PIL.Image.fromarray(draw_detections(image, detections))
            with _writing(picture):
                annotated.save(picture)
            record["picture"] = str(picture)
    except InputError as error:
        record["error"] = str(error)
    return record


def format_table(record: Record) -> str:
    """What `detect` prints of an image: a heading, then a line an object with class, score and box."""
    found = record["detections"]
    count = f"{len(found)} object{'' if len(found) == 1 else 's'}"
    picture = f" -> {record['picture']}" if "picture" in record else ""
    size = f"{record['width']}x{record['height']} px"
    heading = f"{record['image']}: {count} ({size}, {record['seconds']:.1f} s){picture}"
    if not found:
        return heading
    width = max(len("class"), *(len(one["class"]) for one in found))
    lines = [heading, f"  {'class':{width}}  score  {'x1':>6} {'y1':>6} {'x2':>6} {'y2':>6}"]
    for one in found:
        corners = " ".join(f"{corner:6.0f}" for corner in one["box"])
        lines.append(f"  {one['class']:{width}}  {one['score']:5.3f}  {corners}")
    return "\n".join(lines)


def _write_json(target: str | None, records: list[Record]) -> None:
    text = json.dumps(records, indent=2)
    if target == "-":
        print(text)
    elif target is not None:
        with _writing(target):
            Path(target).write_text(text + "\n", encoding="utf-8")


@contextmanager
def _writing(target: Path | str) -> Iterator[None]:
    """Turn a failure to write into an `InputError` that names the file or folder."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{target}: expected a place to write to, got: {error.strerror or error}") from None


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) <= 1:
            return value
    raise argparse.ArgumentTypeError(f"expected a number in 0-1, got {text!r}")


def _count(text: str) -> int:
    with suppress(ValueError):
        if (value := int(text)) >= 0:
            return value
    raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
