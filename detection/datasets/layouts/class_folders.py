"""Recognises folders of one class each, in which the whole image is the object."""

from detection.datasets.image_folder import ImageFolder
from detection.datasets.layouts.folder_layout import UNNAMED, FolderLayout, SplitSource, joined, split_name
from detection.datasets.layouts.listing import FolderListing

NO_CLASSES = frozenset({"images", "labels", "annotations", "imagesets", "jpegimages", "img", "pictures", "photos"})
"""Names, in lower case, of folders that hold the images of all classes."""


def find_class_folders(listing: FolderListing) -> FolderLayout | None:
    """Return the splits of folders `<class>/` or `<split>/<class>/` with images, or None if there are no such folders.

    A single folder, such as `images/<class>/`, need not be named like a split.

    There have to be two classes or more, since the pictures of a single class would not say where its objects are.
    """
    paths = [parts for image in listing.images if (parts := image.relative_to(listing.root).parts[:-1])]
    if not paths or len({len(parts) for parts in paths}) > 1 or len(paths[0]) not in (1, 2):
        return None
    classes = sorted({parts[-1] for parts in paths})
    if len(classes) < 2 or any(name.lower() in NO_CLASSES for name in classes):
        return None
    top_folders = sorted({parts[0] for parts in paths})
    named = {split_name(top): top for top in top_folders}
    if len(paths[0]) == 1:
        if UNNAMED not in named:  # folders of splits, with pictures and no annotations
            return None
        splits = {UNNAMED: SplitSource(ImageFolder(listing.root, ["."]), ".")}
    else:
        if (UNNAMED in named and len(top_folders) > 1) or len(named) < len(top_folders):
            return None
        reader = ImageFolder(listing.root, top_folders)
        splits = {split: SplitSource(reader, folder) for split, folder in named.items()}
    return FolderLayout("folders", f"a folder for each class ({joined(classes)}), each picture is one object", splits)
