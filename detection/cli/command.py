"""The command `detect`: it finds objects in photos, draws them, and lists them as a table or in files.

`main` turns errors into lines, and `detect` does the work. `options` has the options, `image_sources` finds the images,
`Detector.stream` detects in them, and `records` writes the list. The package `formats.exports` has the formats of data
sets.
"""

import argparse
import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Timer
from typing import Any

import PIL.Image
from tqdm import tqdm

from detection.cli.class_options import check_classes, check_classes_early, list_classes
from detection.cli.clip import Clip
from detection.cli.image_sources import find_sources, prepare_clip, read_early, tell
from detection.cli.kept_results import keeping_results, kept_path
from detection.cli.options import NAME, parse_options
from detection.cli.picture_paths import PicturePaths
from detection.cli.records import Record, format_table, require_records_file, write_records
from detection.configuration import (
    DETECTOR_FILE,
    find_compiled_modules,
    find_config,
    load_detector,
    read_yaml,
)
from detection.datasets.files.text_file import is_file
from detection.detector import Detector
from detection.errors import InputError
from detection.formats.exports.coco_file import CocoFile
from detection.formats.exports.crops_folder import CropsFolder
from detection.formats.exports.csv_file import CsvFile
from detection.formats.exports.export import DetectedImage, Export
from detection.formats.exports.voc_folder import VocFolder
from detection.formats.exports.yolo_folder import YoloFolder
from detection.runtime.atomic_write import atomic_path
from detection.runtime.command_end import drop_output, end_of_command, holding_signals, open_streams, raising_stopped
from detection.runtime.output_file import (
    Inputs,
    identify,
    is_marked_png,
    named_files,
    png_mark,
    require_replaceable,
)
from detection.runtime.parallel.many_images import ImageResult
from detection.runtime.parallel.ordered_map import available_cores
from detection.runtime.second_process import compiled_process, compiling_ahead, has_machine_code
from detection.sources.picture import Picture
from detection.sources.pictures import Collection, Source, source_pictures
from detection.structures.results.drawing import draw_detections


def open_gallery(target: Path, **rules: Any) -> Export:
    """Return the writer of the gallery, whose module few runs need."""
    from detection.formats.exports.gallery.writer import Gallery  # noqa: PLC0415

    return Gallery(target, **rules)


EXPORTS: Mapping[str, Callable[..., Export]] = {
    "coco": CocoFile,
    "csv": CsvFile,
    "yolo": YoloFolder,
    "voc": VocFolder,
    "crops": CropsFolder,
    "gallery": open_gallery,
}
"""The options that write the detections of all images in another format."""


PATIENCE = 8.0
"""Seconds until a user is told what takes so long at the first run."""

FIRST_RUN = "still at work; the first run on a machine compiles loops, which takes some seconds"
SLOW_START = "still at work; other programs seem to keep the processor busy"


def run() -> None:
    """Run the command as a process of its own."""
    open_streams()
    gc.disable()  # until the first image is done: imports create half a million objects, and nearly all of them stay
    status = main(second_process=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written. A normal exit would wait for threads that still work on an image after Ctrl-C, and would
    # take a second to unload the modules.
    os._exit(status)


def main(arguments: Sequence[str] | None = None, *, second_process: bool = False) -> int:
    """Run the command; return the exit status: 0, 1 if anything failed, or 130 (128 + signal) if interrupted.

    A wrong option ends the process with status 2. `second_process` is faster: see `detection.runtime.second_process`.
    """
    options = parse_options(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may have characters that cannot be printed
    records: list[Record] = []
    status, stopped_by, reported = 0, "", 0
    try:
        with raising_stopped():
            sources = find_sources(options, records)
            reported = len(records)
            detect(sources, options, records, second_process=second_process)
            sys.stdout.flush()
    except BaseException as error:  # a fault of the program is raised again
        status, stopped_by = end_of_command(error)
        drop_output()
    problems = [record.get("error", "") for record in records[reported:]] + [stopped_by]
    for problem in filter(None, problems):
        tell(problem)
    return status or int(reported > 0 or any(problems))


def detect(sources: list[Source], options: argparse.Namespace, records: list[Record], *, second_process: bool) -> None:
    """Detect in all images of the sources, and append a record of each to `records`, in that order.

    If the work is stopped, the JSON file has the records so far.

    Raises:
        InputError: if nothing can be done at all, for example because the configuration is broken.
    """
    if options.list_classes:
        print("\n".join(list_classes(options)))
        return
    check_classes_early(options)
    paths = [source.path for source in sources if source.path is not None]
    inputs = identify([*paths, *filter(is_file, map(Path, options.images))])  # a list is read too
    exports = _prepare_files(options, inputs)
    if options.video_output is not None:
        prepare_clip(options.video_output, sources, inputs, options)
    is_single = len(sources) == 1 and isinstance(sources[0], Picture)
    if is_single:
        sources = read_early(sources, records)
    for failed in records:
        _report_failure(failed["error"], exports)
    if not sources:
        if options.json is not None:
            write_records(options.json, records)
        return
    modules = find_compiled_modules(options.config)
    second = _compiling(modules, is_single=is_single) if second_process else nullcontext()
    with second, explaining_slow_start(modules, quiet=options.quiet) as started:
        _detect_in_all(sources, options, records, inputs, exports, started=started)


def _compiling(modules: Sequence[str], *, is_single: bool) -> AbstractContextManager[None]:
    """Return a context in which another process loads or compiles the loops of modules, where that saves time."""
    return compiled_process(modules) if is_single and available_cores() > 1 else compiling_ahead(modules[1:])


@contextmanager
def explaining_slow_start(modules: Sequence[str], *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Tell the user why the first image takes so long, unless the yielded function is called within `PATIENCE`.

    Args:
        modules: import paths of the modules whose loops are compiled at the first run.
        quiet: True to tell nothing.
    """
    note = Timer(PATIENCE, tell, [SLOW_START if all(map(has_machine_code, modules)) else FIRST_RUN])
    note.daemon = True  # an error ends the process at once
    if not quiet:
        note.start()
    try:
        yield note.cancel
    finally:
        note.cancel()


def _load_detector(options: argparse.Namespace) -> Detector:
    detector = load_detector(options.config, options.device, tile=options.tile, overlap=options.overlap)
    if options.classes is not None:
        check_classes(options.classes, detector.class_names)
    names = ("score_threshold", "max_detections", "classes")
    return replace(detector, **{name: value for name in names if (value := getattr(options, name)) is not None})


def _detect_in_all(
    sources: list[Source],
    options: argparse.Namespace,
    records: list[Record],
    inputs: Inputs,
    exports: list[Export],
    *,
    started: Callable[[], None],
) -> None:
    clip = Clip(options.video_output, every=options.every) if options.video_output is not None else None
    paths = None if options.no_image or clip is not None else PicturePaths(options.output, inputs)
    detector = _load_detector(options)
    if paths is not None:
        paths.create_folder()
    is_own = partial(is_marked_png, command=NAME)
    check = partial(require_replaceable, recognise=is_own, inputs=inputs, overwrite=options.overwrite)
    total = None if any(isinstance(source, Collection) for source in sources) else len(sources)
    progress = tqdm(total=total, unit="image", disable=True if options.quiet or total == 1 else None)
    with nullcontext(detector.stream) if total == 1 else keeping_results(options, sources, detector) as stream:
        results = stream(chain.from_iterable(map(source_pictures, sources)), errors="return")
        # After an interruption, the same command goes on with `--json FILE`, and must not find unfinished annotations.
        unfinished = [export for export in exports if export.may_be_edited and kept_path(options) is not None]
        try:
            with closing(results), progress, clip or nullcontext():
                for result in results:
                    started()
                    picture = None if paths is None or result.error is not None else paths.choose(result.picture)
                    records.append(record := _record(result, picture, check, exports))
                    if clip is not None and result.error is None and (moment := result.picture.moment) is not None:
                        clip.add(draw_detections(result.image, result.detections), moment.rate)
                    if result.error is None and not options.quiet and options.json != "-":
                        tqdm.write(format_table(record, result.detections.guesses))
                    progress.update()
                    gc.enable()  # `run` has disabled it
            unfinished = []
        finally:
            with holding_signals(), ExitStack() as last_writes:  # it calls each of them, even if another one fails
                if options.json is not None and (records or options.json == "-" or not Path(options.json).exists()):
                    last_writes.callback(write_records, options.json, records)
                for export in [export for export in exports if export not in unfinished]:
                    last_writes.callback(export.finish)


def _prepare_files(options: argparse.Namespace, inputs: Inputs) -> list[Export]:
    """Check that the files and folders of all images may be written, and return the writers of the exports.

    Raises:
        InputError: naming the file or folder, if it must not be written or is named twice.
    """
    chosen = {name: Path(target) for name in ("json", *EXPORTS) if (target := getattr(options, name)) is not None}
    if options.json == "-":
        del chosen["json"]
    if not chosen:
        return []
    options_of_targets: dict[Path, str] = {}
    for name, target in chosen.items():
        if target == Path("-"):
            raise InputError(f"--{name}: expected a file or folder; only --json writes to standard output")
        if (other := options_of_targets.setdefault(Path(os.path.realpath(target)), name)) != name:
            raise InputError(f"{target}: expected another target for --{name} than for --{other}")
    config = find_config(options.config, DETECTOR_FILE)
    with suppress(InputError):  # a file that cannot be read is reported when the detector is built
        inputs = {**inputs, **identify([config, *named_files(read_yaml(config))])}
    if (records_file := chosen.pop("json", None)) is not None:
        require_records_file(records_file, inputs=inputs, overwrite=options.overwrite)
    resumes = bool(chosen) and (kept := kept_path(options)) is not None and kept.exists()
    rules = {"inputs": inputs, "overwrite": options.overwrite, "resumes": resumes}
    return [EXPORTS[name](target, **rules) for name, target in chosen.items()]


def _report_failure(line: str, exports: Sequence[Export]) -> None:
    for export in exports:
        export.add_failure(line)


def _record(
    result: ImageResult, picture: Path | None, check: Callable[[Path], None], exports: Sequence[Export]
) -> Record:
    """Write the outputs of an image, and return its record. If an output cannot be written, it also has an error.

    `check` raises an `InputError` if the picture must not replace what is there.
    """
    record: Record = {"image": result.name}
    if result.error is not None:
        _report_failure(str(result.error), exports)
        return record | {"error": str(result.error)}
    image, detections = result.image, result.detections
    record |= {"width": image.shape[1], "height": image.shape[0], "seconds": round(result.seconds, 3)}
    record["detections"] = detections.to_dict()
    if (moment := result.picture.moment) is not None:
        record |= {"frame": moment.frame, "time": moment.seconds}
    errors = []
    if picture is not None:
        try:
            check(picture)
            annotated = PIL.Image.fromarray(draw_detections(image, detections))
            with atomic_path(picture) as temporary:
                annotated.save(temporary, pnginfo=png_mark(NAME))
            record["picture"] = str(picture)
        except InputError as error:
            errors.append(str(error))
    for export in exports:
        try:
            export.add(DetectedImage(result.name, image, detections))
        except InputError as error:
            errors.append(str(error))
    return record | ({"error": "; ".join(errors)} if errors else {})
