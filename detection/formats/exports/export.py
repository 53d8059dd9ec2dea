"""`Export`, the base class of the writers of all formats: it checks its target, and then receives image after image."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from os.path import realpath, relpath
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from detection.datasets.files.text_file import is_file
from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import Inputs, require_replaceable, require_writable
from detection.sources.files import IMAGE_SUFFIXES
from detection.structures.arrays import Image
from detection.structures.boxes import clip_boxes
from detection.structures.detections import Detections

SPLIT = "train"
"""The split as which the images of a data set are written."""


MIN_SIDE = 0.01
"""The shortest side in pixels of a box that is written. Readers refuse boxes that have no area once rounded."""


class DetectedImage(NamedTuple):
    """An image [H, W, 3] with its detections; `name` is its path, or any other name if it is no file."""

    name: str
    image: Image
    detections: Detections

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def visible(self) -> Detections:
        """The detections, cut off at the borders of the image, without those whose rest is narrower than `MIN_SIDE`."""
        boxes = clip_boxes(self.detections.boxes, self.size)
        shortest = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
        return replace(self.detections, boxes=boxes)[np.flatnonzero(shortest >= MIN_SIDE)]


@dataclass(eq=False, repr=False)
class Export(ABC):
    """A writer of the detections in many images.

    Somebody may have corrected the annotations in an earlier output, which the files do not show. So it is replaced
    only with `overwrite`, also if the same command wrote it.

    Args:
        target: the file or folder to write.
        inputs: what the command reads, which is never replaced.
        overwrite: True if files that exist may be replaced.
        resumes: True if an earlier command, which was interrupted, may have written a part of the folder. Its files are
            kept if they have the same content as the new ones; others may have been edited.

    Raises:
        InputError: naming the target, if it cannot be written or must not be replaced.
    """

    may_be_edited: ClassVar[bool] = True
    """False for a format that nobody corrects, so that the same command replaces its own output."""

    target: Path
    _: KW_ONLY
    inputs: Inputs
    overwrite: bool
    resumes: bool = False

    def __post_init__(self) -> None:
        self._check_target()

    @abstractmethod
    def add(self, item: DetectedImage) -> None:
        """Write the detections of an image, or keep them until all are there.

        Raises:
            InputError: naming the file that cannot be written; later images can still be added.
        """

    def add_failure(self, line: str) -> None:  # noqa: B027  most formats have no place for it
        """Take note of an image that could not be read, for which the user gets this line."""

    @abstractmethod
    def finish(self) -> None:
        """Write what can be written only once all images are there. Without any image, nothing is written.

        Raises:
            InputError: naming the file, if it cannot be written.
        """

    @abstractmethod
    def _check_target(self) -> None:
        """Check before the work that the target can be written, and make its folder."""

    def _check_file(self, path: Path) -> None:
        require_replaceable(path, None, inputs=self.inputs, overwrite=self.overwrite)


class FileExport(Export):
    """A writer of one file, which appears when all images are there."""

    def _check_target(self) -> None:
        self._check_file(self.target)
        if self.target.suffix.lower() in IMAGE_SUFFIXES:
            raise InputError(f"{self.target}: expected another name than that of an image")
        require_writable(self.target)

    def _file_name(self, item: DetectedImage) -> str:
        """Return the path of an image from the folder of the target; other names than those of files as they are."""
        if not is_file(item.name):
            return item.name
        try:
            # Without linked folders, because the system follows links before it resolves "..".
            folder, file = Path(realpath(Path(item.name).parent)), Path(item.name).name
            return Path(relpath(folder / file, realpath(self.target.parent))).as_posix()
        except ValueError:  # another drive of Windows
            return Path(item.name).absolute().as_posix()


class FolderExport(Export):
    """A writer of a folder, which gets the files of an image as soon as it is there."""

    def _check_target(self) -> None:
        try:
            is_used = self.target.exists() and (not self.target.is_dir() or any(self.target.iterdir()))
        except OSError as error:
            raise InputError(f"{self.target}: expected a folder to write to, got: {error.strerror}") from None
        if is_used and not self.target.is_dir():
            raise InputError(f"{self.target}: expected a folder to write to, got a file")
        if is_used and not self.overwrite and not self.resumes:
            raise InputError(
                f"{self.target}: expected a new or empty folder, got one with files; choose another or use --overwrite"
            )
        require_writable(self.target / "file")

    def _write_files(self, contents: Mapping[Path, bytes]) -> None:
        """Write files in this order, after the check that all of them may be written; raises an `InputError` if not."""
        new = {path: content for path, content in contents.items() if not (self.resumes and _holds(path, content))}
        for path in new:
            self._check_file(path)
        for path, content in new.items():
            write_atomically(path, content)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
