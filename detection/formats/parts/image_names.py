"""The names by which files of detections refer to the images of a data set."""

from collections.abc import Mapping
from pathlib import PurePath

from detection.errors import InputError, short_repr
from detection.formats.parts.checked_rows import positions
from detection.structures.split_columns import SplitIndex

_AMBIGUOUS = -2
"""Stands in place of the position of an image for a name that several images have."""


def images_by_name(index: SplitIndex) -> dict[str, int]:
    """Return the position of each image under all its names: its id, its file, and the file without folder or suffix.

    A short name that several images share is ambiguous, unless it is also the id or the file of one image.
    """
    short_names: dict[str, int] = {}
    for image, file_name in enumerate(index.file_names):
        for name in {PurePath(file_name).name, PurePath(file_name).stem} - {""}:
            short_names[name] = image if name not in short_names else _AMBIGUOUS
    file_names = {name: image for image, name in enumerate(index.file_names) if name}
    return short_names | file_names | positions(index.image_ids)


def find_image(name: str, names: Mapping[str, int]) -> int:
    """Return the position of the image that a name or path stands for, among those of `images_by_name`.

    Raises:
        InputError: if there is no such image, or there are several. It does not name the file of detections.
    """
    image = names.get(name)
    if image is None:
        file = PurePath(name)
        image = next((names[key] for key in (file.name, file.stem) if key in names), None)
    if image is None:
        raise InputError(f"expected an image of the ground truth, got {short_repr(name)}")
    if image == _AMBIGUOUS:
        raise InputError(f"expected the name of one image of the ground truth, got {short_repr(name)}, that of several")
    return image
