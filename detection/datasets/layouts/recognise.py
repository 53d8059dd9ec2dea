"""`recognise` finds out which layout a folder has."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from detection.datasets.layouts.class_folders import find_class_folders
from detection.datasets.layouts.coco_files import find_coco
from detection.datasets.layouts.csv_files import find_csv
from detection.datasets.layouts.folder_layout import FolderLayout
from detection.datasets.layouts.listing import FolderListing, list_folder
from detection.datasets.layouts.voc_files import find_voc
from detection.datasets.layouts.yolo_files import find_yolo
from detection.errors import InputError


class KnownLayout(NamedTuple):
    """A layout: the function that finds it in a folder, and what it looks for, for the user."""

    find: Callable[[FolderListing], FolderLayout | None]
    looked_for: str


LAYOUTS: Mapping[str, KnownLayout] = {
    "coco": KnownLayout(find_coco, "JSON files with images, annotations and categories (coco)"),
    "voc": KnownLayout(find_voc, "XML files of PASCAL VOC (voc)"),
    "yolo": KnownLayout(find_yolo, "a data.yaml with names and train or val, or a classes.txt (yolo)"),
    "csv": KnownLayout(find_csv, "CSV files with the columns filename, class, xmin, ymin, xmax, ymax (csv)"),
    "folders": KnownLayout(find_class_folders, "two or more folders of one class each (folders)"),
}
"""All layouts by name. A folder should have one of those before "folders", which have files of boxes."""


def recognise(root: Path, layout: str | None = None) -> FolderLayout:
    """Return what is in a folder. Folders of classes are only looked for if there are no files of boxes.

    Args:
        root: the folder.
        layout: one of `LAYOUTS` to look for only this one.

    Raises:
        InputError: if there are no annotations or no images, annotations in two layouts, or files of a layout are
            malformed or ambiguous.
    """
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"layout: expected one of {', '.join(LAYOUTS)}, got '{layout}'")
    listing = list_folder(root)
    layouts: list[FolderLayout] = []
    for name, (find, _) in LAYOUTS.items():
        is_wanted = layout == name or (layout is None and not (name == "folders" and layouts))
        if is_wanted and (result := find(listing)):
            layouts.append(result)
    if len(layouts) > 1:
        descriptions = " and ".join(result.description for result in layouts)
        choices = " or ".join(f"--layout {result.layout}" for result in layouts)
        advice = f"choose with {choices} (or --dataset.layout)"
        raise InputError(f"{root}: expected annotations in one layout, got {descriptions}: {advice}")
    if not layouts:
        looked_for = "; ".join(LAYOUTS[name].looked_for for name in ([layout] if layout else LAYOUTS))
        raise InputError(
            f"{root}: expected annotations, got none among {len(listing.files)} files, {len(listing.images)} of them "
            f"images, in this folder and below; looked for: {looked_for}"
        )
    return layouts[0]
