"""Copies of pictures in a folder of a data set, under names that differ."""

import shutil
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path, PurePath

import PIL.Image

from detection.formats.exports.export import DetectedImage
from detection.runtime.atomic_write import atomic_path
from detection.sources.files import ANNOTATED_SUFFIX, IMAGE_SUFFIXES
from detection.sources.picture import safe_name


class UniqueNames:
    """Gives each image a name of its own: equal names get numbers, also if they differ in upper and lower case only."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, image_name: str) -> str:
        """Return the name of an image for new files, without folder and suffix."""
        name = PurePath(image_name).name.removesuffix(ANNOTATED_SUFFIX)  # which readers would pass over
        stem = safe_name(PurePath(name).stem)
        if PurePath(stem).suffix.lower() in IMAGE_SUFFIXES:  # lists may name a.jpg.png so, or mean a.jpg
            stem = stem.replace(".", "_")
        names = (f"{stem}{number}" for number in chain([""], map("_{}".format, count(2))))
        unique = next(name for name in names if name.casefold() not in self._taken)
        self._taken.add(unique.casefold())
        return unique


class PictureCopies:
    """Copies pictures into a folder, each under a name that `choose` returns.

    Args:
        folder: the folder.
        check: raises an `InputError` if a file must not be written.
    """

    def __init__(self, folder: Path, check: Callable[[Path], None]) -> None:
        self._folder = folder
        self._check = check
        self._names = UniqueNames()

    def choose(self, item: DetectedImage) -> Path:
        """Return the path for the copy of a picture; what is no picture file will be written as PNG.

        Raises:
            InputError: naming the copy, if it must not be written.
        """
        suffix = Path(item.name).suffix if _is_picture_file(item.name) else ".png"
        target = self._folder / (self._names.take(item.name) + suffix)
        self._check(target)
        return target

    def write(self, item: DetectedImage, target: Path) -> None:
        """Copy a picture to the path that `choose` gave; raises an `InputError` that names it if this fails."""
        with atomic_path(target) as temporary:
            if _is_picture_file(item.name):
                shutil.copyfile(item.name, temporary)
            else:
                PIL.Image.fromarray(item.image).save(temporary)


def _is_picture_file(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES and Path(name).is_file()
