"""`LabelledFolder`, the reader of a folder whose layout it recognises by itself."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.datasets.dataset import DataSet, Entry, count_objects
from detection.datasets.files.faults import Faults
from detection.datasets.layouts.class_names import ClassList, build_class_list, spelling_key
from detection.datasets.layouts.folder_layout import FolderLayout, joined
from detection.datasets.layouts.pictures import find_image_faults, same_content
from detection.datasets.layouts.recognise import recognise
from detection.datasets.layouts.splits import complete_splits, duplicate_remarks
from detection.errors import InputError
from detection.structures.arrays import BoolArray, IntArray
from detection.structures.boxes import box_area
from detection.structures.ground_truth import GroundTruth

logger = logging.getLogger(__name__)

EVERY_SPLIT = "all"
"""The name that stands for the pictures of all splits."""

VALIDATION_SHARE = 0.2
"""The share of the pictures that are held out for validation where there is no such split (our choice)."""


class LabelledFolder(DataSet):
    """Reader of a folder in the layout of COCO, PASCAL VOC, YOLO, a CSV table, or with a folder for each class.

    The splits "train", "val" and "test" are those of the folder. Without a validation split, one is drawn from the
    training pictures, balanced by class and always the same. Everything usable is read: a box or picture that cannot be
    used is left out and listed in `left_out`. See also `recognise` and `complete_splits`.

    All files of annotations and the headers of all pictures are read when the object is made.

    Attributes:
        layout: "coco", "voc", "yolo", "csv" or "folders".
        description: two lines that say which files were found, and which splits are given or made.
        splits: the names of the splits, in the order train, val, test.
        remarks: a line for each fault that leaves nothing out, such as a class with a single box.
        left_out: a line for each box, picture or file that is not used, with its place.

    Args:
        root: the folder.
        layout: the layout to read, if the folder has annotations in several; by default it is recognised.
        validation_share: the share of the pictures that is drawn as "val" if the folder has no such split.
        seed: the seed of this draw.
        class_names: the classes in the order of their labels, of which some may have no box. Boxes of other classes are
            left out. By default these are all classes that have boxes.

    Raises:
        InputError: if the layout is not recognised or ambiguous, or there is no usable picture or box.
    """

    def __init__(
        self,
        root: str | Path,
        layout: str | None = None,
        validation_share: float = VALIDATION_SHARE,
        seed: int = 1,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if not 0 < validation_share <= 0.5:
            raise InputError(f"validation_share: expected a share above 0 and up to 0.5, got {validation_share}")
        self.root = Path(root)
        folder_layout = recognise(self.root, layout)
        self.layout = folder_layout.layout
        usable = _read_sources(folder_layout)
        classes = build_class_list(_box_counts(folder_layout, usable.entries))
        self.class_names = tuple(class_names) if class_names is not None else classes.names
        relabelled = _relabel(folder_layout, usable.entries, classes, self.class_names)
        given = _with_readable_images(relabelled)
        groups = same_content(entry.record.path for entries in given.entries.values() for entry in entries)
        completed = complete_splits(given.entries, groups, share=validation_share, seed=seed)
        self._entries = completed.splits
        self.splits = tuple(self._entries)
        self.left_out = (
            *folder_layout.left_out,
            *usable.faults,
            *relabelled.faults,
            *given.faults,
            *completed.left_out,
        )
        self._require_boxes(folder_layout)
        self.remarks = (*classes.remarks, *self._find_remarks(), *duplicate_remarks(self._entries, groups, self.root))
        counts = ", ".join(f"{name} {len(entries)}" for name, entries in self._entries.items())
        self.description = (
            f"{self.root}: {folder_layout.description}\nsplits, {completed.description}: {counts} pictures"
        )
        if self.left_out:
            kinds = "boxes, pictures or files, which detect-check-dataset lists"
            logger.warning(f"{self.root}: left out {len(self.left_out)} {kinds}")

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:  # noqa: ARG002
        """Yield the usable images of a split, or of all splits for "all"; what was left out is not reported again."""
        if split == EVERY_SPLIT:
            for name in self.splits:
                yield from self._entries[name]
            return
        if split not in self._entries:
            raise InputError(f"{self.root}: expected one of the splits {', '.join(self.splits)}, got '{split}'")
        yield from self._entries[split]

    def _require_boxes(self, folder_layout: FolderLayout) -> None:
        if not any(len(entry.record) for entries in self._entries.values() for entry in entries):
            first = f", {len(self.left_out)} faults, the first: {self.left_out[0]}" if self.left_out else ""
            raise InputError(
                f"{self.root}: expected boxes in {folder_layout.description}, got none that can be used{first}"
            )

    def _find_remarks(self) -> list[str]:
        records = [entry.record for entries in self._entries.values() for entry in entries]
        counts = count_objects(records, len(self.class_names))
        remarks = [
            f"class '{self.class_names[label]}' has a single box" for label in np.flatnonzero(counts == 1).tolist()
        ]
        for split, entries in self._entries.items():
            box_counts = count_objects([entry.record for entry in entries], len(self.class_names))
            missing = [self.class_names[label] for label in np.flatnonzero((counts > 1) & (box_counts == 0)).tolist()]
            if missing:
                remarks.append(f"classes without boxes in split '{split}': {joined(missing, limit=10)}")
        if background := sum(len(record) == 0 for record in records):
            remarks.append(f"pictures without boxes, which are used as background: {background}")
        absent = [f"there is no split '{name}'" for name in ("train", "val") if name not in self._entries]
        return [*remarks, *absent]


class _UsableEntries(NamedTuple):
    """The entries of each split, and a line for everything left out."""

    entries: dict[str, list[Entry]]
    faults: list[str]


def _read_sources(folder_layout: FolderLayout) -> _UsableEntries:
    entries: dict[str, list[Entry]] = {}
    faults: list[str] = []
    for split, source in folder_layout.splits.items():
        check = source.reader.read_usable(source.split)
        faults += [str(fault) for fault in check.faults]
        entries[split] = [_select(entry, box_area(entry.record.boxes) > 0) for entry in check.entries]
        counts = zip(check.entries, entries[split], strict=True)
        empty = [(entry.place, len(entry.record) - len(kept.record)) for entry, kept in counts]
        faults += [f"{place}: expected boxes with an area, got {count} without" for place, count in empty if count]
    return _UsableEntries(entries, faults)


def _select(entry: Entry, kept: BoolArray, labels: IntArray | None = None) -> Entry:
    """Return an image with the boxes that are `kept`, and with other labels if they are given."""
    record = entry.record
    labels = record.labels if labels is None else labels
    return entry._replace(
        record=GroundTruth(record.image_id, record.path, record.boxes[kept], labels[kept], record.ignored[kept])
    )


def _box_counts(folder_layout: FolderLayout, entries: Mapping[str, Sequence[Entry]]) -> Counter[str]:
    """Return the number of boxes of each class name, in the order of the names in the files."""
    counts: Counter[str] = Counter()
    for split, source in folder_layout.splits.items():
        names = source.reader.class_names
        box_counts = count_objects([entry.record for entry in entries[split]], len(names))
        for name, count in zip(names, box_counts.tolist(), strict=True):
            counts[name] += count
    return counts


def _relabel(
    folder_layout: FolderLayout, entries: Mapping[str, Sequence[Entry]], classes: ClassList, class_names: Sequence[str]
) -> _UsableEntries:
    """Return the entries with the labels of `class_names`, without the boxes of other classes."""
    label_of = {spelling_key(name): label for label, name in enumerate(class_names)}
    relabelled: dict[str, list[Entry]] = {}
    removed: Counter[str] = Counter()
    for split, source in folder_layout.splits.items():
        names = [classes.name_of[name] for name in source.reader.class_names]
        new_labels = np.array([label_of.get(spelling_key(name), -1) for name in names], np.int64)
        relabelled[split] = []
        for entry in entries[split]:
            labels = new_labels[entry.record.labels]
            removed.update(names[label] for label in entry.record.labels[labels < 0].tolist())
            relabelled[split].append(_select(entry, labels >= 0, labels))
    reason = "left out, since the class is not in class_names"
    return _UsableEntries(relabelled, [f"class '{name}': {count} boxes {reason}" for name, count in removed.items()])


def _with_readable_images(usable: _UsableEntries) -> _UsableEntries:
    faults = find_image_faults([entry for entries in usable.entries.values() for entry in entries])
    readable = {}
    for split, entries in usable.entries.items():
        readable[split] = [entry for entry in entries if entry.record.path not in faults]
    return _UsableEntries(readable, [str(fault) for fault in faults.values()])
