"""The results of `detect --json found.json` while the command is at work, in the file `found.json.unfinished`.

Each picture that is a file adds its line as soon as it is done, so that a command which was stopped or killed goes on
where it was. The file is deleted when everything is written. `detection.formats.run_results` describes it.
"""

import argparse
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from detection import __version__
from detection.cli.image_sources import tell
from detection.cli.options import NAME
from detection.configuration import DETECTOR_FILE, find_config, read_yaml
from detection.datasets.files.text_file import is_file
from detection.detector import Detector
from detection.errors import InputError
from detection.formats.run_results import ResultsWriter, StoredResult, read_results
from detection.formats.settings import first_difference
from detection.runtime.file_fingerprint import FileFingerprint, fingerprint_file
from detection.runtime.output_file import made_by, named_files
from detection.runtime.parallel.many_images import ImageResult
from detection.sources.conversion import lasting_picture
from detection.sources.picture import Picture
from detection.sources.pictures import Source

SUFFIX = ".unfinished"

Stream = Callable[..., Generator[ImageResult, None, None]]
"""Detects in pictures, with the argument `errors` of `Detector.stream`, and yields the result of each in order."""


@contextmanager
def keeping_results(options: argparse.Namespace, sources: Sequence[Source], detector: Detector) -> Iterator[Stream]:
    """Yield the function that detects in pictures, and keeps their results until the block has ended without an error.

    Results of an earlier command with the same options are not computed again, if their files are the same. Nothing is
    kept without `--json FILE`.

    Raises:
        InputError: naming the file of the results, if it cannot be written, or is not one of this command.
    """
    path = kept_path(options)
    if path is None:
        yield detector.stream
        return
    writer = _open_results(path, _describe(options), detector.class_names)
    kept = [source.name for source in sources if isinstance(source, Picture) and _is_kept(source, writer)]
    writer.drop(writer.images.keys() - set(kept))
    if kept and not options.quiet:
        tell(f"{path}: {_done(len(kept))} already")
    done = False
    try:
        with writer:
            yield partial(_stream, detector, writer)
        done = True
    finally:
        if done or not writer.images:
            path.unlink(missing_ok=True)
        elif not options.quiet:
            tell(f"{path}: {_done(len(writer.images))}; the same command goes on from there")


def kept_path(options: argparse.Namespace) -> Path | None:
    """Return the file in which the results of a command with these options are kept, or None."""
    target = Path(options.json or "-")
    if options.json in (None, "-") or (target.exists() and not target.is_file()):
        return None
    return target.with_name(f"{target.name}{SUFFIX}")


def _done(count: int) -> str:
    return "1 image is done" if count == 1 else f"{count} images are done"


def _describe(options: argparse.Namespace) -> dict[str, Any]:
    """Return all that decides what is found in a picture, as values for JSON."""
    detector = read_yaml(find_config(options.config, DETECTOR_FILE))
    chosen = ("device", "tile", "overlap", "score_threshold", "max_detections", "classes")
    return {
        "made_by": made_by(NAME),
        "version": __version__,
        "detector": detector,
        "files": {str(path): fingerprint_file(path).crc32 for path in named_files(detector) if is_file(path)},
        "options": {name: getattr(options, name) for name in chosen},
    }


def _open_results(path: Path, settings: dict[str, Any], class_names: tuple[str, ...]) -> ResultsWriter:
    """Return the results of an earlier command with these settings; those with others are deleted."""
    if path.exists():
        earlier = read_results(path)
        if earlier.settings.get("made_by") != settings["made_by"]:
            raise InputError(f"{path}: expected results of an unfinished {NAME}, got another file; move it away")
        if first_difference(earlier.settings, settings) or earlier.class_names != class_names:
            path.unlink()
    return ResultsWriter(path, settings, class_names)


def _is_kept(picture: Picture, writer: ResultsWriter) -> bool:
    """Return True if there are results of a picture, and its file is the one that they are of."""
    kept = writer.images.get(picture.name)
    if kept is None or kept.file is None or picture.path is None or not picture.path.is_file():
        return False
    try:
        return kept.file.matches(picture.path)
    except InputError:
        return False


def _stream(
    detector: Detector, writer: ResultsWriter, pictures: Iterable[Picture], *, errors: Literal["raise", "return"]
) -> Generator[ImageResult, None, None]:
    """Yield the result of each picture in order: the kept ones, and between them those of the detector."""
    finished = set(writer.images)
    pending: deque[tuple[Picture, FileFingerprint | None]] = deque()

    def missing() -> Iterator[Picture]:
        for picture in pictures:
            is_missing = picture.name not in finished
            pending.append((picture, _fingerprint(picture) if is_missing else None))
            if is_missing:
                yield picture

    with closing(detector.stream(missing(), errors=errors)) as results:
        for result in results:
            while pending[0][0].name in finished:
                yield _restore(pending.popleft()[0], writer)
            _, file = pending.popleft()
            if file is not None and result.error is None:
                size = (result.image.shape[0], result.image.shape[1])
                writer.add(StoredResult(result.name, size, 0, result.detections, file=file))
            yield result
    for picture, _ in pending:
        yield _restore(picture, writer)


def _fingerprint(picture: Picture) -> FileFingerprint | None:
    """Return the fingerprint of a picture that is a file, or None; a pipe can be read only once."""
    try:
        return fingerprint_file(picture.path) if picture.path is not None and picture.path.is_file() else None
    except InputError:
        return None


def _restore(picture: Picture, writer: ResultsWriter) -> ImageResult:
    """Return the kept result of a picture, with the image that its file holds."""
    start = time.perf_counter()
    try:
        image = picture.read()
    except InputError as error:
        return ImageResult(picture, error)
    detections = writer.images[picture.name].detections.in_picture(lasting_picture(picture.path or image, image))
    return ImageResult(picture, (image, detections), time.perf_counter() - start)
