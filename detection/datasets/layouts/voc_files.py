"""XML files of PASCAL VOC anywhere in a folder: beside the images, in a folder of their own, or as in `VOCdevkit`."""

import re
from collections.abc import Iterator
from pathlib import Path

from detection.datasets.dataset import DataSet, Entry
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import read_lines
from detection.datasets.files.voc_xml import read_voc_names, read_voc_xml
from detection.datasets.layouts.folder_layout import SPLIT_NAMES, FolderLayout, SplitSource, joined, split_name
from detection.datasets.layouts.listing import FileIndex, FolderListing
from detection.errors import InputError
from detection.structures.ground_truth import GroundTruth


class _VOCFiles(DataSet):
    """Reader of all XML files of PASCAL VOC in a folder and below. `read_voc_xml` describes the boxes.

    The splits are the lists `train.txt`, `val.txt`, `test.txt` and `trainval.txt`, wherever they are; if there are
    lists in folders `Main` or `ImageSets`, only these. Without lists, the folders of the XML files name the splits. An
    image has the name of its XML file; of several such images, the one in the nearest folder is taken. The classes are
    the sorted names in all files.
    """

    def __init__(self, listing: FolderListing, annotations: list[Path]) -> None:
        self.root = listing.root
        self.class_names = tuple(sorted({name for path in annotations for name in read_voc_names(path)}))
        self.lists = _split_lists(listing)
        self._listing = listing
        self._annotations = annotations
        self._annotation_index = FileIndex(annotations)
        self._labels = {name: label for label, name in enumerate(self.class_names)}
        self._names_are_unique = len({path.stem for path in annotations}) == len(annotations)

    @property
    def splits(self) -> list[str]:
        """The names of the splits."""
        return list(self.lists) or sorted({self._folder_split(path) for path in self._annotations})

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        for place, xml in self.annotations_of(split, faults):
            with faults.at():
                with Faults().at(place):
                    image = self._listing.image_index.find(xml.stem, xml)
                size, objects = read_voc_xml(xml, self._labels, faults, image=image)
                name = xml.stem if self._names_are_unique else self._listing.relative(xml).removesuffix(".xml")
                yield Entry(place, GroundTruth(name, image, *objects), size)

    def annotations_of(self, split: str, faults: Faults) -> Iterator[tuple[str, Path]]:
        """Yield the XML files of a split, each with the place that lists it; report names without a file."""
        if not self.lists:
            yield from ((str(path), path) for path in self._annotations if self._folder_split(path) == split)
        for path in self.lists.get(split, ()):
            for number, line in enumerate(read_lines(path, expected="a list of images"), start=1):
                place = f"{path}:{number}"
                with faults.at(place):
                    if line.strip():
                        yield place, self._annotation_index.find(line.strip(), path)

    def _folder_split(self, path: Path) -> str:
        return split_name(path.parent.relative_to(self.root).as_posix())


def find_voc(listing: FolderListing) -> FolderLayout | None:
    """Return the splits of all XML files of PASCAL VOC in a folder, or None if there are none."""
    annotations = [path for path in listing.with_suffix(".xml") if _is_voc(path)]
    if not annotations:
        return None
    reader = _VOCFiles(listing, annotations)
    folders = sorted({f"{listing.relative(path.parent)}/" for path in annotations})
    lists = [listing.relative(path) for paths in reader.lists.values() for path in paths]
    lists_part = f", lists {joined(lists)}" if lists else ""
    description = f"PASCAL VOC ({len(annotations)} XML files in {joined(folders)}{lists_part})"
    return FolderLayout(
        "voc",
        description,
        {split: SplitSource(reader, split) for split in reader.splits},
        _left_out(listing, annotations, reader),
    )


def _left_out(listing: FolderListing, annotations: list[Path], reader: _VOCFiles) -> list[str]:
    """Return a line for each XML file that is in no list, and for each image without an XML file."""
    listed = {path for split in reader.splits for _, path in reader.annotations_of(split, Faults(keep=True))}
    stems = {path.stem for path in annotations}
    return [f"{path}: not used, since no list has it" for path in annotations if path not in listed] + [
        f"{path}: not used, since it has no XML file" for path in listing.images if not stems & {path.stem, path.name}
    ]


def _split_lists(listing: FolderListing) -> dict[str, list[Path]]:
    """Return the lists of images of each split, of several years together; "trainval" only if there is no "train"."""
    lists = [path for path in listing.with_suffix(".txt") if path.stem.lower() in SPLIT_NAMES]
    for folder in ("Main", "ImageSets"):
        if inside := [path for path in lists if path.parent.name == folder]:
            lists = inside
            break
    splits: dict[str, list[Path]] = {}
    for path in lists:
        splits.setdefault(SPLIT_NAMES[path.stem.lower()], []).append(path)
    if "train" in splits:
        splits.pop("trainval", None)
    return splits


def _is_voc(path: Path) -> bool:
    try:
        return re.search(rb"<annotation[\s>]", path.read_bytes()) is not None
    except OSError as error:
        raise InputError(f"{path}: expected a readable file: {error.strerror}") from None
