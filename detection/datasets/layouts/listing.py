"""The files of a folder, listed once, from which the layout of a data set is recognised."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from detection.errors import InputError
from detection.sources.files import ANNOTATED_SUFFIX, IMAGE_SUFFIXES

SAMPLE = 200
"""The number of file names by which the folder of the images is found (our choice)."""


@dataclass(frozen=True, eq=False)
class FolderListing:
    """The sorted `files` in the folder `root` and below, without hidden ones and annotated pictures of `detect`."""

    root: Path
    files: tuple[Path, ...]

    def with_suffix(self, *suffixes: str) -> list[Path]:
        """Return the files that have one of these suffixes, which are given in lower case."""
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def relative(self, path: Path) -> str:
        """Return the path of a file below the root, with slashes."""
        return path.relative_to(self.root).as_posix()

    @cached_property
    def images(self) -> list[Path]:
        """The files with the suffix of an image."""
        return self.with_suffix(*IMAGE_SUFFIXES)

    @cached_property
    def names(self) -> frozenset[str]:
        """The paths of all files as text."""
        return frozenset(map(os.fspath, self.files))

    @cached_property
    def image_index(self) -> "FileIndex":
        """The images by their names."""
        return FileIndex(self.images)

    def find_image(self, path: Path, name: str, near: Path) -> Path:
        """Return `path` if there is such a file, or else the image that `name` means; `path` if there is none."""
        if os.fspath(path) not in self.names:
            try:
                return self.image_index.find(name, near)
            except InputError:  # the reader reports that there is no such file
                pass
        return path

    def image_folder(self, file_names: Sequence[str], source: Path) -> Path:
        """Return the folder below which most of the named files are; if several fit, the one nearest to `source`.

        It is the folder of `source` if no named file is found.
        """
        sample = file_names[:: max(1, len(file_names) // SAMPLE)]
        folders = {folder for image in self.images for folder in image.parents if folder.is_relative_to(self.root)}

        def fit(folder: Path) -> tuple[int, int]:
            file_count = sum(os.path.join(folder, name) in self.names for name in sample)  # noqa: PTH118  a second faster
            return file_count, folder_nearness(folder, source.parent)

        return max([source.parent, *sorted(folders)], key=fit)


def list_folder(root: Path) -> FolderListing:
    """Return the files in a folder and below; links to folders are followed.

    Raises:
        InputError: if there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder with pictures, got {'a file' if root.exists() else 'none'}")
    files: list[Path] = []
    visited: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        files += [
            Path(folder, name) for name in names if not name.startswith(".") and not name.endswith(ANNOTATED_SUFFIX)
        ]
    return FolderListing(root, tuple(sorted(files)))


class FileIndex:
    """Finds files by the names that annotations use: with or without a folder and a suffix, from another machine."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for path in files:
            self._by_stem[path.stem].append(path)

    def find(self, name: str, near: Path) -> Path:
        """Return the file that a name means.

        If several files fit, prefers the one whose folders also occur in `name`, then the nearest to `near`.

        Raises:
            InputError: if there is none, or several are equally near.
        """
        parts = name.replace("\\", "/").split("/")
        path = Path(parts[-1])
        has_suffix = path.suffix.lower() in (*IMAGE_SUFFIXES, ".xml")
        candidates = self._by_stem.get(path.stem if has_suffix else path.name, [])
        ranked = sorted(((_nearness(file, parts, near), file) for file in candidates), reverse=True)
        if not ranked:
            raise InputError(f"expected a file '{name}' in the folder or below, got none")
        if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
            raise InputError(f"expected one file '{name}', got {ranked[1][1]} and {ranked[0][1]}")
        return ranked[0][1]


def _nearness(file: Path, parts: Sequence[str], near: Path) -> tuple[int, bool, bool, int]:
    folders = 0
    while folders < min(len(parts), len(file.parts)) - 1 and file.parts[-2 - folders] == parts[-2 - folders]:
        folders += 1
    return folders, file.name == parts[-1], file.parent == near.parent, folder_nearness(file.parent, near.parent)


def folder_nearness(first: Path, second: Path) -> int:
    """Return how near two folders are: the number of folders that both paths have, less those that only one has."""
    both = set(first.parts) & set(second.parts)
    return 2 * len(both) - len(set(first.parts) ^ set(second.parts))
