"""`PicturePaths`: the paths of annotated pictures, of which no two are equal and none is a file that is read."""

import tempfile
from pathlib import Path

from detection.runtime.atomic_write import naming_target
from detection.runtime.output_file import Inputs, identify
from detection.sources.files import ANNOTATED_SUFFIX
from detection.sources.picture import Picture, numbered_names


class PicturePaths:
    """Chooses a path for the annotated picture of each image, in the order in which they are asked for.

    Args:
        folder: where the pictures are written; None writes each into the folder of its image.
        inputs: the files that are read.

    Raises:
        InputError: naming the folder, if it cannot be written to, or not be created.
    """

    def __init__(self, folder: Path | None, inputs: Inputs) -> None:
        self._folder = folder
        self._inputs = inputs
        self._taken: set[Path] = set()
        if folder is not None:
            with naming_target(folder):
                path = folder.absolute()
                with tempfile.TemporaryFile(dir=next(place for place in (path, *path.parents) if place.exists())):
                    pass

    def create_folder(self) -> None:
        """Create the folder of the pictures.

        Raises:
            InputError: naming the folder, if it cannot be created.
        """
        if self._folder is not None:
            with naming_target(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)

    def choose(self, picture: Picture) -> Path:
        """Return a path that was not chosen before; equal names get numbers."""
        parent = picture.folder if self._folder is None else self._folder
        places = (parent / f"{name}{ANNOTATED_SUFFIX}" for name in numbered_names(picture.stem))
        path = next(
            place for place in places if place not in self._taken and not identify([place]).keys() & self._inputs
        )
        self._taken.add(path)
        return path
