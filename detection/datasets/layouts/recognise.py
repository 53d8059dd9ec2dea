"""`recognise`: which layout a folder has."""

from collections.abc import Callable, Mapping
from pathlib import Path

from detection.datasets.layouts.class_folders import find_class_folders
from detection.datasets.layouts.coco_files import find_coco
from detection.datasets.layouts.csv_files import find_csv
from detection.datasets.layouts.found_layout import FoundLayout
from detection.datasets.layouts.listing import FolderListing, list_folder
from detection.datasets.layouts.voc_files import find_voc
from detection.datasets.layouts.yolo_files import find_yolo
from detection.errors import InputError

FINDERS: Mapping[str, Callable[[FolderListing], FoundLayout | None]] = {
    "coco": find_coco,
    "voc": find_voc,
    "yolo": find_yolo,
    "csv": find_csv,
}
"""The layouts with files of boxes, of which a folder should have one."""

LAYOUTS = (*FINDERS, "folders")
"""The names of all layouts."""

LOOKED_FOR = {
    "coco": "JSON files with images, annotations and categories (coco)",
    "voc": "XML files of PASCAL VOC (voc)",
    "yolo": "a data.yaml with names and train or val, or a classes.txt (yolo)",
    "csv": "CSV files with the columns filename, class, xmin, ymin, xmax, ymax (csv)",
    "folders": "two or more folders of one class each (folders)",
}


def recognise(root: Path, layout: str | None = None) -> FoundLayout:
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
    layouts = [result for name, find in FINDERS.items() if layout in (None, name) and (result := find(listing))]
    if not layouts and layout in (None, "folders") and (folders := find_class_folders(listing)):
        layouts = [folders]
    if len(layouts) > 1:
        descriptions = " and ".join(result.description for result in layouts)
        choices = " or ".join(f"--layout {result.layout}" for result in layouts)
        advice = f"choose with {choices} (or --dataset.layout)"
        raise InputError(f"{root}: expected annotations in one layout, got {descriptions}: {advice}")
    if not layouts:
        looked_for = "; ".join(LOOKED_FOR.values()) if layout is None else LOOKED_FOR[layout]
        raise InputError(
            f"{root}: expected annotations, got none among {len(listing.files)} files, {len(listing.images)} of them "
            f"images, in this folder and below; looked for: {looked_for}"
        )
    return layouts[0]
