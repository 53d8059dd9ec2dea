"""Files of pictures in a folder of a data set, under names that differ."""

import io
from pathlib import Path, PurePath

import PIL.Image

from detection.datasets.files.text_file import is_file
from detection.errors import InputError
from detection.formats.exports.export import DetectedImage
from detection.sources.files import ANNOTATED_SUFFIX, IMAGE_SUFFIXES
from detection.sources.picture import numbered_names, safe_name
from detection.structures.arrays import Image


class UniqueNames:
    """Gives each image a name of its own: equal names get numbers, also if they differ in upper and lower case only."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, image_name: str) -> str:
        """Return the name of an image for new files, without folder and suffix."""
        name = PurePath(image_name).name.removesuffix(ANNOTATED_SUFFIX)  # readers would pass over this suffix
        stem = safe_name(PurePath(name).stem)
        if PurePath(stem).suffix.lower() in IMAGE_SUFFIXES:  # in a list, a.jpg could mean a.jpg or a.jpg.png
            stem = stem.replace(".", "_")
        unique = next(name for name in numbered_names(stem) if name.casefold() not in self._taken)
        self._taken.add(unique.casefold())
        return unique


def picture_file(item: DetectedImage) -> tuple[str, bytes]:
    """Return the suffix and the content of a picture file for a data set; what is no picture file becomes PNG.

    Raises:
        InputError: naming the picture, if its file cannot be read any more.
    """
    path = Path(item.name)
    if path.suffix.lower() not in IMAGE_SUFFIXES or not is_file(path):
        return ".png", png_file(item.image)
    try:
        return path.suffix, path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected a readable image, got: {error.strerror}") from None


def png_file(image: Image) -> bytes:
    """Return the content of a PNG file with the pixels [H, W, 3]."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
