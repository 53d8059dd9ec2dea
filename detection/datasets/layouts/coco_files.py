"""Recognises JSON files in the format of COCO: beside the images, above them, or in a folder of their own."""

from pathlib import Path

from detection.datasets.coco import COCO
from detection.datasets.files import coco_json
from detection.datasets.layouts.found_layout import (
    FoundLayout,
    SplitSource,
    file_of_each_split,
    joined,
    not_used,
)
from detection.datasets.layouts.listing import FolderListing

KEYS = (b'"images"', b'"annotations"', b'"categories"')


def find_coco(listing: FolderListing) -> FoundLayout | None:
    """Return the JSON files of the splits, or None if no JSON file has images, annotations and categories.

    A folder `annotations` of COCO also has other files for the same splits, such as `person_keypoints_train.json`. If
    there are files whose names begin with `instances`, only these are taken.
    """
    files = [path for path in listing.with_suffix(".json") if _is_coco(path)]
    files = [path for path in files if path.name.startswith("instances")] or files
    if not files:
        return None
    used = file_of_each_split(listing.root, files, "JSON file in the format of COCO")
    splits = {split: SplitSource(_reader(listing, path), split) for split, path in used.items()}
    names = [listing.relative(path) for path in used.values()]
    return FoundLayout("coco", f"COCO JSON ({joined(names)})", splits, not_used(files, used))


def _is_coco(path: Path) -> bool:
    """Return True if the text of a file has the three keys; parsing the file would take much longer."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return all(key in content for key in KEYS)


def _reader(listing: FolderListing, path: Path) -> COCO:
    images = coco_json.load_json(path).get("images")
    items = images if isinstance(images, list) else []
    names = [item["file_name"] for item in items if isinstance(item, dict) and isinstance(item.get("file_name"), str)]
    folder = listing.image_folder(names, path)
    return COCO(listing.root, annotations=listing.relative(path), images=listing.relative(folder))
