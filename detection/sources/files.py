"""Finds the image files that a user names, by files, folders, patterns and pipes, and tells which it passes over."""

import glob
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from detection.errors import InputError

IMAGE_SUFFIXES = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""The suffixes, in lower case, of the files that `expand` takes from folders and patterns. `read_image` does not
look at the suffix but at the content."""

ANNOTATED_SUFFIX = ".detections.png"
"""The end of the names of the annotated pictures that `detect` writes, which are no pictures of a data set."""

ZIP_SUFFIXES = (".cbz", ".zip")
TAR_SUFFIXES = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tbz2", ".tgz", ".txz")
VIDEO_SUFFIXES = (".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv")
SEVERAL_SUFFIXES = (*ZIP_SUFFIXES, *TAR_SUFFIXES, *VIDEO_SUFFIXES)
"""The suffixes, in lower case, of files that hold several images."""

OTHER_SUFFIXES = (
    *(".apng", ".arw", ".avif", ".cr2", ".cr3", ".dcm", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif", ".hif"),
    *(".ico", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".jxr", ".mpo", ".nef", ".orf", ".pbm", ".pcx", ".pef", ".pgm"),
    *(".pnm", ".ppm", ".psd", ".raf", ".raw", ".rw2", ".svg", ".tga", ".xcf"),
)
"""The suffixes of pictures in other formats, which are not read."""


def describe_passed_over(paths: Iterable[Path]) -> str:
    """Return the kinds and numbers of those paths that look like images but are not taken; "" if there are none.

    For example ".heic (2), broken links (1)". Hidden files and files of other kinds are not counted.
    """
    return describe_kinds(Counter(filter(None, map(_kind_passed_over, paths))))


def describe_kinds(kinds: Mapping[str, int]) -> str:
    """Return the names and numbers of kinds of files, such as ".heic (2), broken links (1)"."""
    return ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items()))


def find_passed_over(source: str) -> str:
    """Return what is passed over in a folder or pattern, as `describe_passed_over` does; "" for a file.

    A pattern such as `*.zip` does not pass over the files with its suffix.
    """
    try:
        matches = [] if _is_single(Path(source)) else _matches(source)
        taken = suffixes_of(source)
        return describe_passed_over(match for match in matches if not taken or not match.name.lower().endswith(taken))
    except OSError:
        return ""  # `expand` reports this


def expand(source: str, *, several: bool = False) -> list[Path]:
    """Return the image files that a single file, folder or pattern stands for.

    A file or a pipe may have any name. A folder stands for the images directly in it, and a pattern (`**` included) for
    the images that it matches, by suffix and sorted, without hidden files. If `photo[1].jpg` matches nothing as a
    pattern, it is taken as a file name.

    Args:
        source: the name of a file, folder or pattern.
        several: True if files may hold several images. A pattern that ends with one of `SEVERAL_SUFFIXES`, such as
            `*.zip`, stands for the files with this suffix then.

    Raises:
        InputError: if there are none.
    """
    try:
        path = Path(source)
        if source and _is_single(path):
            return [path]
        matches = _matches(source)
        suffixes = suffixes_of(source) if several else ()
        wanted = (*IMAGE_SUFFIXES, *suffixes)
        files = sorted(match for match in matches if match.name.lower().endswith(wanted) and match.is_file())
        if files:
            return files
        actual = _describe_failure(source, matches)
    except OSError as error:
        raise InputError(f"{source}: expected an image file, a folder or a pattern, got: {error.strerror}") from None
    images = f"an image file, or a folder or pattern with some ({' '.join(IMAGE_SUFFIXES)})"
    expected = f"a file with the suffix {suffixes[0]}" if suffixes else images
    raise InputError(f"{source or repr(source)}: expected {expected}, got {actual}")


def _describe_failure(source: str, matches: Sequence[Path]) -> str:
    if passed_over := describe_passed_over(matches):
        return f"only {passed_over}"
    if source and Path(source).is_dir():
        return "a folder without any"
    return "a device" if source and Path(source).exists() else "no such file"


def suffixes_of(name: str) -> tuple[str, ...]:
    """Return the suffix with which a name ends, if it is one of `SEVERAL_SUFFIXES`; otherwise nothing."""
    return tuple(suffix for suffix in SEVERAL_SUFFIXES if name.lower().endswith(suffix))


def _is_single(path: Path) -> bool:
    return path.is_file() or path.is_fifo()


def _matches(source: str) -> list[Path]:
    """Return the visible entries of a folder, or what a pattern matches."""
    if source and Path(source).is_dir():  # Path("") would be the working directory
        return [path for path in Path(source).iterdir() if not path.name.startswith(".")]
    # `Path.glob` refuses absolute patterns.
    names = glob.glob(source, recursive=True) or glob.glob(source.replace("[", "[[]"), recursive=True)  # noqa: PTH207
    return list(map(Path, names))


def _kind_passed_over(path: Path) -> str:
    """Return the kind of a path that looks like an image but is not taken, or "" for any other."""
    if path.is_dir():
        with suppress(OSError):  # a folder that cannot be listed is no folder with images
            return "folders with images" if any(map(_has_suffix, path.iterdir())) else ""
        return ""
    if _has_suffix(path) and not path.is_file():
        return "broken links" if path.is_symlink() else "special files"
    if path.suffix.lower() in OTHER_SUFFIXES:
        return path.suffix.lower()
    return next(iter(suffixes_of(path.name)), "")


def _has_suffix(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES
