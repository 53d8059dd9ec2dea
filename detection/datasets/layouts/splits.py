"""The splits of a folder: those that are given, and a validation split where there is none."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.datasets.dataset import Entry
from detection.datasets.layouts.folder_layout import UNNAMED
from detection.datasets.stratified_split import stratified_split

Splits = Mapping[str, Sequence[Entry]]
"""The entries of each split, by its name."""


class CompletedSplits(NamedTuple):
    """The splits, a phrase that says which are given and which are made, and a line for each picture in none."""

    splits: dict[str, list[Entry]]
    description: str
    left_out: list[str]


def complete_splits(given: Splits, groups: Sequence[Sequence[Path]], *, share: float, seed: int) -> CompletedSplits:
    """Return the given splits; without "val", split it off "train" so that each class has the same share in it.

    The training pictures come from the first of these that exists: "train"; "trainval" without the pictures of "val";
    the pictures whose path names no split.

    Args:
        given: the entries by the names of their splits.
        groups: images with the same content, which stay together.
        share: the share of the validation split.
        seed: the seed of the split.
    """
    source = next((name for name in ("train", "trainval", UNNAMED) if given.get(name)), None)
    splits = {name: list(given[name]) for name in ("val", "test") if given.get(name)}
    if source is not None:
        validation_paths = {entry.record.path for entry in splits.get("val", ()) if source == "trainval"}
        splits = {"train": [entry for entry in given[source] if entry.record.path not in validation_paths], **splits}
    left_out = _left_out(given, splits)
    if "val" not in splits and len(splits.get("train", ())) > 1:
        training, validation = _split_off(splits["train"], groups, share=share, seed=seed)
        if validation:  # there is none if all images are the same
            others = {name: entries for name, entries in splits.items() if name != "train"}
            description = f"{share:.0%} of the pictures drawn as val, balanced by class, with seed {seed}"
            return CompletedSplits({"train": training, "val": validation} | others, description, left_out)
    return CompletedSplits(splits, "as given", left_out)


def _left_out(given: Splits, splits: Splits) -> list[str]:
    """Return a line for each image in no split, such as those in other folders than `train` and `val`."""
    used = {entry.record.path for entries in splits.values() for entry in entries}
    unused = [entry.record.path for entries in given.values() for entry in entries if entry.record.path not in used]
    return [f"{path}: not used, since it is in no split" for path in unused]


def _split_off(
    entries: Sequence[Entry], groups: Sequence[Sequence[Path]], *, share: float, seed: int
) -> tuple[list[Entry], list[Entry]]:
    group_of = {path: row for row, group in enumerate(groups) for path in group}
    units: dict[int, list[Entry]] = {}
    for row, entry in enumerate(entries):
        units.setdefault(group_of.get(entry.record.path, len(groups) + row), []).append(entry)
    labels = [np.concatenate([entry.record.labels for entry in unit]) for unit in units.values()]
    smaller = stratified_split(labels, share=share, seed=seed)
    held_out = {id(entry) for unit, chosen in zip(units.values(), smaller, strict=True) if chosen for entry in unit}
    return (
        [entry for entry in entries if id(entry) not in held_out],
        [entry for entry in entries if id(entry) in held_out],
    )


def duplicate_remarks(splits: Splits, groups: Sequence[Sequence[Path]], root: Path) -> list[str]:
    """Return a line for each image that is in two splits, or twice in one."""
    splits_of: dict[Path, list[str]] = {}
    for name, entries in splits.items():
        for entry in entries:
            splits_of.setdefault(entry.record.path, []).append(name)
    grouped = {path for group in groups for path in group}
    remarks = []
    for group in [*groups, *([path] for path in splits_of if path not in grouped)]:
        places = [(path, name) for path in group for name in splits_of.get(path, ())]
        if len(places) > 1:
            position = "in two splits" if len({name for _, name in places}) > 1 else f"twice in split '{places[0][1]}'"
            files = " and ".join(f"{os.path.relpath(path, root)} ({name})" for path, name in places)
            remarks.append(f"the same picture is {position}: {files}")
    return remarks
