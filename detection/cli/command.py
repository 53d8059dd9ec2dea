"""The command `detect`: it finds objects in photos, draws them, and lists them as a table or as JSON.

`main` reads the options and turns errors into lines; `detect` does the work. `many_images` divides the work between
cores, `drawing` draws the pictures, and `records` writes the list.
"""

import argparse
import gc
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import NoReturn

import PIL.Image
from tqdm import tqdm

from detection import __version__
from detection.cli.many_images import ImageResult, detect_in_images, find_parallelism
from detection.cli.records import Record, are_records, format_table, write_records
from detection.configuration import (
    DEFAULT_CONFIG,
    DETECTOR_FILE,
    find_compiled_modules,
    find_config,
    load_detector,
    read_yaml,
)
from detection.errors import InputError
from detection.image_sources import ANNOTATED_SUFFIX, find_images, find_passed_over
from detection.runtime.atomic_write import atomic_path
from detection.runtime.command_end import drop_output, end_of_command, holding_signals, raising_stopped
from detection.runtime.ordered_map import available_cores
from detection.runtime.output_file import (
    OVERWRITE_HELP,
    Inputs,
    identify,
    is_marked_png,
    named_files,
    png_mark,
    require_replaceable,
    require_writable,
)
from detection.runtime.second_process import compiled_process
from detection.structures.results.drawing import draw_detections

NAME = "detect"

NO_BREAK_HYPHEN = "\N{NON-BREAKING HYPHEN}"


class Parser(argparse.ArgumentParser):
    """A parser whose help ends with the names of the other commands of this distribution."""

    def format_help(self) -> str:
        """Return the help. The list of commands is read only now, as it takes time."""
        from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415

        try:
            scripts = distribution("inception-rcnn").entry_points.select(group="console_scripts").names
        except PackageNotFoundError:  # the source is on the path without being installed
            scripts = set()
        # Hyphens that do not break keep the names whole where the text is wrapped.
        names = ", ".join(sorted(scripts - {self.prog})).replace("-", NO_BREAK_HYPHEN)
        self.epilog = f"Other commands, each with its own --help: {names}" if names else None
        return super().format_help().replace(NO_BREAK_HYPHEN, "-")

    def error(self, message: str) -> NoReturn:
        """End the command with one line."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; {self.prog} --help lists the options\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = Parser(prog=NAME, allow_abbrev=False, description="Find objects in photos, and draw and list them.")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, folders or glob patterns")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write the annotated pictures here; default: beside each image"
    )
    parser.add_argument("--json", metavar="FILE", help="write a record of each image as JSON; - for standard output")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file or folder of a detector, or the name of a shipped file; default: detector.yaml",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: a GPU if there is one")
    parser.add_argument("--score-threshold", type=_share, metavar="0-1", help="show detections from this score on")
    parser.add_argument("--max-detections", type=_count, metavar="N", help="show at most the best N of an image")
    parser.add_argument("--no-image", action="store_true", help="write no annotated pictures")
    parser.add_argument("--overwrite", action="store_true", help=OVERWRITE_HELP)
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def run() -> None:
    """Run the command as a process of its own."""
    gc.disable()  # until the first image is done: imports create half a million objects, and nearly all of them stay
    status = main(second_process=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written. A normal exit would wait for threads that still work on an image after Ctrl-C, and would
    # take a second to unload the modules.
    os._exit(status)


def main(arguments: Sequence[str] | None = None, *, second_process: bool = False) -> int:
    """Run the command; return the exit status: 0, 1 if anything failed, or 130 (128 + signal) if interrupted.

    With `second_process`, a single image is done sooner; see `detection.runtime.second_process`.
    """
    options = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may have characters that cannot be printed
    records: list[Record] = []
    status, stopped_by = 0, ""
    try:
        with raising_stopped():
            detect(options, records, second_process=second_process)
            sys.stdout.flush()
    except BaseException as error:  # a fault of the program is raised again
        status, stopped_by = end_of_command(error)
        drop_output()
    problems = [record.get("error", "") for record in records] + [stopped_by]
    for problem in filter(None, problems):
        print(f"detect: {' '.join(problem.splitlines())}", file=sys.stderr)
    return status or int(any(problems))


def detect(options: argparse.Namespace, records: list[Record], *, second_process: bool) -> None:
    """Detect in all images of the command line, and append a record of each to `records`, in that order.

    The records of sources without images come first. If the work is stopped, the JSON file has the records so far.

    Raises:
        InputError: if nothing can be done at all, for example because the configuration is broken.
    """
    paths = _find_images(options.images, records, quiet=options.quiet)
    inputs = identify(paths)
    if options.json not in (None, "-"):
        _prepare_json(Path(options.json), inputs, options)
    if not paths:
        if options.json is not None:
            write_records(options.json, records)
        return
    saves_time = second_process and len(paths) == 1 and available_cores() > 1
    with compiled_process(find_compiled_modules(options.config)) if saves_time else nullcontext():
        _detect_in_all(paths, options, records, inputs)


def _detect_in_all(paths: list[Path], options: argparse.Namespace, records: list[Record], inputs: Inputs) -> None:
    detector = load_detector(options.config, options.device)
    for name in ("score_threshold", "max_detections"):
        if (value := getattr(options, name)) is not None:
            setattr(detector, name, value)
    pictures = {} if options.no_image else _picture_paths(paths, options.output, inputs)
    is_own = partial(is_marked_png, command=NAME)
    check = partial(require_replaceable, recognise=is_own, inputs=inputs, overwrite=options.overwrite)
    results = detect_in_images(paths, detector, find_parallelism(len(paths)))
    progress = tqdm(total=len(paths), unit="image", disable=True if options.quiet or len(paths) == 1 else None)
    try:
        with closing(results), progress:
            for path, result in zip(paths, results, strict=True):
                records.append(record := _record(path, result, pictures.get(path), check))
                if "detections" in record and not options.quiet and options.json != "-":
                    tqdm.write(format_table(record))
                progress.update()
                gc.enable()  # `run` has disabled it
    finally:
        if options.json is not None and (records or options.json == "-" or not Path(options.json).exists()):
            with holding_signals():
                write_records(options.json, records)


def _prepare_json(target: Path, inputs: Inputs, options: argparse.Namespace) -> None:
    """Check that the records may be written to a file; raises an `InputError` that names it if not."""
    config = find_config(options.config or DEFAULT_CONFIG, DETECTOR_FILE)
    with suppress(InputError):  # a file that cannot be read is reported when the detector is built
        inputs = {**inputs, **identify([config, *named_files(read_yaml(config))])}
    require_replaceable(target, are_records, inputs=inputs, overwrite=options.overwrite)
    require_writable(target)


def _find_images(sources: Sequence[str], records: list[Record], *, quiet: bool) -> list[Path]:
    """Return the images to read; a source without any adds a record with the error.

    What is passed over in folders and patterns is printed, unless `quiet`. Annotated pictures that an earlier run has
    left in a folder are skipped, unless the user names them.
    """
    images: dict[Path, Path] = {}
    for source in sources:
        paths, errors = find_images([source])
        kept = [path for path in paths if path == Path(source) or not path.name.endswith(ANNOTATED_SUFFIX)]
        if paths and not kept:
            errors = [InputError(f"{source}: expected images, got only annotated ones (*{ANNOTATED_SUFFIX})")]
        if kept and not quiet and (passed_over := find_passed_over(source)):
            print(f"detect: {source}: passed over {passed_over}", file=sys.stderr)
        images.update({path.absolute(): path for path in kept})
        records.extend({"image": source, "error": str(error)} for error in errors)
    return list(images.values())


def _picture_paths(paths: list[Path], folder: Path | None, inputs: Inputs) -> dict[Path, Path]:
    """Return the path of the annotated picture of each image. Equal names get numbers, and no image is overwritten.

    Raises:
        InputError: naming the folder, if it cannot be created.
    """
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: expected a place to write to, got: {error.strerror}") from None
    targets: dict[Path, Path] = {}
    taken: set[Path] = set()
    for path in paths:
        beside = Path() if path.is_fifo() else path.parent  # a pipe lies in a folder of the system
        parent = beside if folder is None else folder
        names = (f"{path.stem}{number}{ANNOTATED_SUFFIX}" for number in chain([""], map("_{}".format, count(2))))
        places = (parent / name for name in names)
        targets[path] = next(place for place in places if place not in taken and not identify([place]).keys() & inputs)
        taken.add(targets[path])
    return targets


def _record(
    path: Path, result: ImageResult | InputError, picture: Path | None, check: Callable[[Path], None]
) -> Record:
    """Return the record of an image. If only the picture could not be written, it has detections and an error.

    `check` raises an `InputError` if the picture must not replace what is there.
    """
    record: Record = {"image": str(path)}
    try:
        if isinstance(result, InputError):
            raise result
        image, detections, seconds = result
        record |= {"width": image.shape[1], "height": image.shape[0], "seconds": round(seconds, 3)}
        record["detections"] = detections.to_dict()
        if picture is not None:
            check(picture)
            annotated = PIL.Image.fromarray(draw_detections(image, detections))
            with atomic_path(picture) as temporary:
                annotated.save(temporary, pnginfo=png_mark(NAME))
            record["picture"] = str(picture)
    except InputError as error:
        record["error"] = str(error)
    return record


def _share(text: str) -> float:
    try:
        if 0 <= (value := float(text)) <= 1:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number in 0-1, got {text!r}")


def _count(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
