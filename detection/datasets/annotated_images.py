"""The pixels of annotated images: all code that uses pixels and boxes together reads the pixels here.

An annotation may be of a picture of another size: a resized copy, or a picture that its EXIF orientation turns. Its
boxes would then lie in wrong places, so such a picture is refused.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from detection.errors import InputError
from detection.image import read_image, read_image_size
from detection.runtime.parallel.ordered_map import available_cores, map_ahead
from detection.structures.arrays import Image
from detection.structures.ground_truth import GroundTruth

AHEAD = 64
"""Number of headers that are read ahead."""


def read_annotated_image(record: GroundTruth, read: Callable[[Path], Image] = read_image) -> Image:
    """Return the pixels of an image, which `read` returns for its file.

    Raises:
        InputError: as `read` does, or naming the file and both sizes, if it has another size than its annotation.
    """
    image = read(record.path)
    record.require_size((image.shape[0], image.shape[1]))
    return image


def require_stated_sizes(records: Sequence[GroundTruth]) -> None:
    """Check the sizes of all images by the headers of their files, before work begins that would stop at one of them.

    Files that cannot be read are passed over, because some commands leave them out when they come to them.

    Raises:
        InputError: naming the first file that has another size than its annotation, and both sizes.
    """
    paths = [record.path for record in records]
    with closing(map_ahead(_size_or_none, paths, threads=available_cores(), ahead=AHEAD)) as sizes:
        progress = tqdm(sizes, total=len(records), desc="sizes", unit="image", disable=None)
        for record, size in zip(records, progress, strict=True):
            if size is not None:
                record.require_size(size)


def _size_or_none(path: Path) -> tuple[int, int] | None:
    try:
        return read_image_size(path)
    except InputError:
        return None
