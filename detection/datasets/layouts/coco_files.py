"""Recognises JSON files in the format of COCO: beside the images, above them, or in a folder of their own."""

from functools import partial
from pathlib import Path

from detection.datasets.coco import COCO
from detection.datasets.files import coco_json
from detection.datasets.layouts.folder_layout import FolderLayout, layout_of_files
from detection.datasets.layouts.listing import FolderListing

KEYS = (b'"images"', b'"annotations"', b'"categories"')


class _COCOFiles(COCO):
    """Reader of a JSON file of COCO, which finds images also where the file states the paths of another machine."""

    def __init__(self, listing: FolderListing, annotations: Path, images: Path) -> None:
        super().__init__(listing.root, listing.relative(annotations), listing.relative(images))
        self._listing = listing

    def image_path(self, split: str, name: str) -> Path:
        return self._listing.find_image(super().image_path(split, name), name, self._source)


def find_coco(listing: FolderListing) -> FolderLayout | None:
    """Return the JSON files of the splits, or None if no JSON file has images, annotations and categories.

    A folder `annotations` of COCO also has other files for the same splits, such as `person_keypoints_train.json`. If
    there are files whose names begin with `instances`, only these are taken.
    """
    files = [path for path in listing.with_suffix(".json") if _is_coco(path)]
    files = [path for path in files if path.name.startswith("instances")] or files
    if not files:
        return None
    kind = "JSON file in the format of COCO"
    return layout_of_files(listing, files, partial(_reader, listing), layout="coco", title="COCO JSON", kind=kind)


def _is_coco(path: Path) -> bool:
    """Return True if the text of a file has the three keys; parsing the file would take much longer."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return all(key in content for key in KEYS)


def _reader(listing: FolderListing, path: Path) -> _COCOFiles:
    images = coco_json.load_json(path).get("images")
    items = images if isinstance(images, list) else []
    names = [item["file_name"] for item in items if isinstance(item, dict) and isinstance(item.get("file_name"), str)]
    folder = listing.image_folder(names, path)
    return _COCOFiles(listing, path, folder)
