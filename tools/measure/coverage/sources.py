"""The sources that `detect-coverage` compares: proposers from configuration files, and caches of `detect-propose`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from numpy.typing import NDArray
from torch.utils.data import Dataset

from detection.configuration import find_config, read_yaml
from detection.errors import InputError
from detection.structures.arrays import FloatArray
from detection.structures.contracts import Proposer
from detection.structures.ground_truth import GroundTruth
from proposals.cache.reader import ProposalCache
from proposals.coverage import best_overlaps
from tools.command.image_proposals import cache_settings, propose_file

CACHE_SUFFIX = ".proposals"


class Source(NamedTuple):
    """A source of proposals, which is a row of the tables."""

    name: str
    proposals: Proposer | ProposalCache

    def boxes(self, record: GroundTruth) -> FloatArray:
        """Return the boxes [N, 4] of an image, best first.

        Raises:
            InputError: naming the source and the file, if the boxes cannot be made or read.
        """
        try:
            if isinstance(self.proposals, ProposalCache):
                return self.proposals[record.image_id].boxes
            return propose_file(record, self.proposals)[1].boxes
        except InputError as error:
            raise InputError(f"{self.name}: {error.line}") from error


def open_source(name: str, source: object, settings: Namespace, records: Sequence[GroundTruth]) -> Source:
    """Return the source that a cache file, a YAML file with a proposer, or the settings of a proposer describe.

    `settings` are the options of the command; a cache must be of their data set and split, and have all `records`.

    Raises:
        InputError: naming the source, if it cannot be used.
    """
    try:
        if not isinstance(source, str):
            return Source(name, build_proposer(source))
        if not source.endswith(CACHE_SUFFIX):
            return Source(name, build_proposer(proposer_in(find_config(source))))
        cache = ProposalCache(source)
        cache.require_settings({"dataset": cache_settings(settings, None)["dataset"], "split": settings.split})
        cache.require(records)
    except InputError as error:
        raise InputError(f"{name}: {error.line}") from error
    return Source(name, cache)


def proposer_in(path: Path) -> object:
    """Return the section `propose` of a detector's file, or `detector.propose` of an experiment's file.

    Raises:
        InputError: naming the file, if it has neither.
    """
    content = read_yaml(path)
    detector = content.get("detector", content)
    if not isinstance(detector, dict) or detector.get("propose") is None:
        raise InputError(f"{path}: expected a section propose or detector.propose, or a cache of {CACHE_SUFFIX}")
    return detector["propose"]


def build_proposer(settings: object) -> Proposer:
    """Return the proposer that `class_path` and `init_args` describe.

    Raises:
        InputError: if they do not describe a proposer.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--propose", type=Proposer, required=True)
    try:
        content: Any = settings.as_dict() if isinstance(settings, Namespace) else settings
        proposer: Proposer = parser.instantiate(parser.parse_object({"propose": content})).propose
    except (ArgumentError, TypeError, ValueError) as error:
        raise InputError(f"expected the settings of a proposer: {' '.join(str(error).split())}") from None
    return proposer


class ImageOverlaps(NamedTuple):
    """For each source, the overlaps [M, K + 1] of its boxes with the objects of an image, and the number of boxes."""

    overlaps: list[NDArray[np.float64]]
    proposal_counts: list[int]


class MeasuredImages(Dataset[ImageOverlaps | InputError]):
    """The overlaps of all sources in each image, or the error of the first source that fails.

    They are computed in the processes of a data loader.
    """

    def __init__(self, records: Sequence[GroundTruth], sources: Sequence[Source], counts: Sequence[int]) -> None:
        self.records = records
        self.sources = sources
        self.counts = counts

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> ImageOverlaps | InputError:
        record = self.records[index]
        try:
            boxes = [source.boxes(record) for source in self.sources]
        except InputError as error:
            return error
        objects = record.boxes[~record.ignored]
        overlaps = [best_overlaps(source_boxes, objects, self.counts) for source_boxes in boxes]
        return ImageOverlaps(overlaps, [len(source_boxes) for source_boxes in boxes])
