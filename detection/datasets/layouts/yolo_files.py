"""Recognises a data set of YOLO by its file `data.yaml`, or by a text file with the names of its classes."""

from pathlib import Path

from detection.datasets.layouts.folder_layout import FolderLayout, SplitSource, joined
from detection.datasets.layouts.listing import FolderListing
from detection.datasets.yolo import SPLIT_KEYS, YOLO, read_yolo_config
from detection.errors import InputError

USUAL_NAME = "data.yaml"

NAME_FILES = ("classes.txt", "obj.names")
"""Text files with the names of the classes: of LabelImg and Label Studio, and of darknet."""


def find_yolo(listing: FolderListing) -> FolderLayout | None:
    """Return the splits of the file with the names of classes, or None if there is no such file.

    Raises:
        InputError: if there are several and none or more than one is called `data.yaml`; or the file is malformed.
    """
    files = [path for path in listing.with_suffix(".yaml", ".yml") if _is_yolo(path)]
    if len(files) > 1:
        usual = [path for path in files if path.name == USUAL_NAME]
        if len(usual) != 1:
            names = joined([listing.relative(path) for path in usual or files])
            raise InputError(f"{listing.root}: expected one data.yaml with names of classes, got {names}")
        files = usual
    files = files or _name_files(listing)
    if not files:
        return None
    name = listing.relative(files[0])
    reader = YOLO(listing.root, name)
    return FolderLayout("yolo", f"YOLO ({name})", {split: SplitSource(reader, split) for split in reader.splits})


def _name_files(listing: FolderListing) -> list[Path]:
    """Return the first file of names, if an image has a text file of the same name."""
    texts = {path.stem for path in listing.with_suffix(".txt")}
    if not any(image.stem in texts for image in listing.images):
        return []
    return [path for path in listing.files if path.name in NAME_FILES][:1]


def _is_yolo(path: Path) -> bool:
    """Return True if a YAML file has names of classes and the images of a split; `data.yaml` may lack the names.

    Raises:
        InputError: if `data.yaml` cannot be read.
    """
    try:
        settings = read_yolo_config(path)
    except InputError:
        if path.name == USUAL_NAME:
            raise
        return False
    has_split = any(key in settings for keys in SPLIT_KEYS.values() for key in keys)
    return has_split and ("names" in settings or path.name == USUAL_NAME)
