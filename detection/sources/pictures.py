"""Turns whatever a user gives into pictures: `find_pictures` takes any value, and `sources_of_text` a text.

A text names a file, a folder, a pattern, a list, an address, an archive, a video, or standard input.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias, cast
from urllib.parse import unquote

from detection.datasets.files.text_file import is_file, read_lines
from detection.errors import InputError
from detection.image import decode_image
from detection.sources.conversion import ImageInput, as_image, is_single, own_copy
from detection.sources.files import (
    ANNOTATED_SUFFIX,
    SEVERAL_SUFFIXES,
    TAR_SUFFIXES,
    VIDEO_SUFFIXES,
    ZIP_SUFFIXES,
    expand,
    suffixes_of,
)
from detection.sources.picture import Picture, failed_picture, file_picture, safe_name
from detection.sources.videos import video_pictures
from detection.structures.arrays import Image

STANDARD_INPUT = "-"

LIST_SUFFIX = ".txt"
"""The suffix of a list of sources."""


class Collection(NamedTuple):
    """A file or address that holds several pictures: an archive or a video.

    `pictures` reads it from its beginning, or downloads it first. `path` is None for an address.
    """

    name: str
    path: Path | None
    pictures: Callable[[], Iterator[Picture]]


Source: TypeAlias = Picture | Collection
"""A picture, or a file that holds several."""

Sources: TypeAlias = "ImageInput | Iterable[ImageInput | Picture]"
"""The types of values in which `find_pictures` finds pictures."""


def find_pictures(sources: Sources, *, every: int = 1) -> Iterator[Picture]:
    """Yield the pictures of any values, in order, each when it is needed.

    Args:
        sources: a text or path as in `sources_of_text`; any other value that `as_image` takes; or an iterable of such
            values, which may be endless.
        every: the step from a frame of a video to the next one that is taken.
    """
    values = [sources] if is_single(sources) else cast(Iterable[Any], sources)
    # Pictures are read ahead, and a generator may write each of them into the same array.
    may_reuse = not isinstance(values, Sequence)
    for number, value in enumerate(values):
        if isinstance(value, Picture):
            yield value
        elif isinstance(value, str | os.PathLike):
            text_sources, errors = sources_of_text(os.fspath(value), every=every)
            yield from (failed_picture(os.fspath(value), error) for error in errors)
            for source in text_sources:
                yield from source_pictures(source)
        else:
            yield value_picture(own_copy(value) if may_reuse else value, f"image {number}")


def source_pictures(source: Source) -> Iterator[Picture]:
    """Yield the pictures of a source."""
    return source.pictures() if isinstance(source, Collection) else iter([source])


def value_picture(value: ImageInput, name: str) -> Picture:
    """Return the picture of a single image, for which `name` stands if it is not a text or a path."""
    if isinstance(value, os.PathLike):
        return file_picture(Path(value))
    if isinstance(value, str):
        return named_picture(value)
    return Picture(name, partial(_convert, value, name), name.replace(" ", "_"))


def named_picture(text: str) -> Picture:
    """Return the picture of a text that names a single image: an address, a file, or "-" for standard input."""
    if text == STANDARD_INPUT:
        return Picture("standard input", _read_standard_input, "stdin")
    if not is_address(text):
        return file_picture(Path(text))
    return Picture(text, partial(_read_address, text), safe_name(Path(name_at(text)).stem))


def is_address(text: str) -> bool:
    """Return True if a text is an address of the web, by HTTP or HTTPS."""
    return text.lower().startswith(("http://", "https://"))


def name_at(address: str) -> str:
    """Return the name of the file at an address, without its folders, query and fragment."""
    return PurePosixPath(unquote(re.split(r"[?#]", address)[0])).name


def sources_of_text(text: str, *, every: int = 1) -> tuple[list[Source], list[InputError]]:
    """Return the sources that a text names, and an error for each source without images.

    Annotated pictures that `detect` has left in a folder are skipped, unless the text names one.

    Args:
        text: a file, folder or pattern as in `detection.sources.files`; "-" for standard input; a zip or tar archive;
            a video; the address of an image, an archive or a video; or a list, which is a file that ends with ".txt"
            and has such a text in each line.
        every: the step from a frame of a video to the next one that is taken.
    """
    path = Path(text)
    if path.suffix.lower() == LIST_SUFFIX and is_file(path):
        return _find_listed(path, every)
    try:
        return _find(text, every), []
    except InputError as error:
        return [], [error]


def _find(text: str, every: int) -> list[Source]:
    if is_address(text) and name_at(text).lower().endswith(SEVERAL_SUFFIXES):
        return [Collection(text, None, partial(_downloaded_pictures, text, every))]
    if text == STANDARD_INPUT or is_address(text):
        return [named_picture(text)]
    paths = expand(text, several=True)
    kept = [path for path in paths if path == Path(text) or not path.name.endswith(ANNOTATED_SUFFIX)]
    if not kept:
        raise InputError(f"{text}: expected images, got only annotated ones (*{ANNOTATED_SUFFIX})")
    return [_file_source(path, every) for path in kept]


def _file_source(path: Path, every: int) -> Source:
    name = path.name.lower()
    if name.endswith((*ZIP_SUFFIXES, *TAR_SUFFIXES)):
        return Collection(str(path), path, partial(_archive_pictures, path))
    if name.endswith(LIST_SUFFIX) and is_file(path):
        raise InputError(f"{path}: expected an image, an archive or a video, got a list within a list")
    if name.endswith(VIDEO_SUFFIXES):
        return Collection(str(path), path, partial(video_pictures, path, every=every))
    return file_picture(path)


def _find_listed(path: Path, every: int) -> tuple[list[Source], list[InputError]]:
    """Return the sources of the lines of a list, without empty lines and those that begin with "#".

    A relative name counts from the folder of the list if there is such a file, and otherwise from the working folder.
    """
    sources: list[Source] = []
    errors = []
    try:
        lines = read_lines(path, expected="a list of images")
    except InputError as error:
        return [], [error]
    for number, line in enumerate(lines, start=1):
        if not (text := line.strip()) or text.startswith("#"):
            continue
        beside = path.parent / text
        is_beside = not is_address(text) and os.path.exists(beside)  # noqa: PTH110  answers for names that no file can have
        try:
            sources += _find(str(beside) if is_beside else text, every)
        except InputError as error:
            errors.append(InputError(f"{path}:{number}: {error}"))
    if not sources and not errors:
        errors = [InputError(f"{path}: expected a list of images, got an empty one")]
    return sources, errors


def _archive_pictures(path: Path) -> Iterator[Picture]:
    from detection.sources.archives import archive_pictures  # noqa: PLC0415  takes time, and is seldom needed

    return archive_pictures(path)


def _downloaded_pictures(address: str, every: int) -> Iterator[Picture]:
    """Download an archive or a video into a temporary file, yield its pictures, and delete the file."""
    from detection.sources.download import download  # noqa: PLC0415  takes time, and is seldom needed

    with TemporaryDirectory(prefix="detect-") as folder:
        name = name_at(address)
        suffix = max(suffixes_of(name), key=len, default="")  # by which the file is recognised, also if its name is cut
        file = Path(folder) / f"{safe_name(name[: len(name) - len(suffix)])}{suffix}"
        try:
            file.write_bytes(download(address, expected="an archive or a video"))
        except InputError as error:
            yield failed_picture(address, error)
            return
        except OSError as error:
            yield failed_picture(address, InputError(f"{address}: expected space in {folder}, got: {error.strerror}"))
            return
        for picture in source_pictures(_file_source(file, every)):
            name, read = picture.name.replace(str(file), address, 1), partial(_read_at, picture, str(file), address)
            yield replace(picture, name=name, read=read, folder=Path())


def _read_at(picture: Picture, file: str, address: str) -> Image:
    """Return the image of a file that was downloaded; errors name the address in place of the file."""
    try:
        return picture.read()
    except InputError as error:
        raise InputError(str(error).replace(file, address, 1)) from None


def _read_address(address: str) -> Image:
    from detection.sources.download import download  # noqa: PLC0415  takes time, and is seldom needed

    return decode_image(download(address), name=address)


def _read_standard_input() -> Image:
    name = "standard input"
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(f"{name}: expected the bytes of an image from a pipe or a file, got a terminal")
    return decode_image(sys.stdin.buffer, name=name)


def _convert(value: ImageInput, name: str) -> Image:
    """Return a value in memory as an image; every error begins with its name, because it is one of several."""
    try:
        return as_image(value)
    except (InputError, ValueError) as error:
        raise InputError(f"{name}: {error}") from None
