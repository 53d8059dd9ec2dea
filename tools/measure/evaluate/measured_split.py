"""The images to measure a detector on, and the options that name them, the detector and the scoring rule.

`read_split` reads the images and their objects. `open_measured` also builds the detector, for commands that always run
it; `detect-evaluate run` builds it only if detections are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from detection.datasets import DataSet
from detection.datasets.annotated_images import require_stated_sizes
from detection.datasets.dataset import Entry
from detection.detector import Detector
from detection.errors import InputError
from detection.evaluation import DetectionMetrics, score
from detection.formats.ground_truth import read_data_set
from detection.structures.class_choice import require_same_classes
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import SplitObjects, select_images, split_detections
from tools.command.experiment import add_detector_experiment_options
from tools.command.image_proposals import ImageProposals, ProposedImage, open_cache, propose_ahead
from tools.command.options import add_limit_option, add_rule_option, evenly_spaced


class Split(NamedTuple):
    """All `objects` of a split, and the `chosen` images to measure on, of which there is at least one."""

    dataset: DataSet
    objects: SplitObjects
    chosen: Sequence[Entry]

    @property
    def records(self) -> list[GroundTruth]:
        """The ground truth of the chosen images."""
        return [entry.record for entry in self.chosen]

    @property
    def chosen_objects(self) -> SplitObjects:
        """The objects of the chosen images, in the order of these images."""
        rows = {name: row for row, name in enumerate(self.objects.index.image_ids)}
        return select_images(self.objects, np.array([rows[record.image_id] for record in self.records], np.int64))


class Measured(NamedTuple):
    """A detector, the split to measure it on, the scoring rule, and where the proposals come from."""

    detector: Detector
    split: Split
    rule: str
    proposals: ImageProposals

    def groups(self, *, threads: int) -> Iterator[list[ProposedImage]]:
        """Yield the chosen images with their proposals in groups, and show the progress; threads prepare the next."""
        records = self.split.records
        with tqdm(total=len(records), unit="image", disable=None) as progress:
            for group in propose_ahead(records, self.proposals, threads=threads):
                yield group
                progress.update(len(group))

    def score(self, detections: Mapping[str, Detections]) -> DetectionMetrics:
        """Score the detections in the chosen images, which are given by image id."""
        objects = self.split.chosen_objects
        return score(objects, split_detections(objects.index, detections), self.rule)


def add_measured_split(parser: ArgumentParser) -> None:
    """Add the options of an experiment with a detector, the images to measure it on, and the scoring rule."""
    add_detector_experiment_options(parser, detector_required=True)
    parser.add_argument("--split", type=str, default="val", help="split to measure on: train, val, ...")
    add_limit_option(parser)
    add_rule_option(parser)


def open_measured(parser: ArgumentParser, settings: Namespace) -> Measured:
    """Build what the options of `add_measured_split` describe.

    Raises:
        InputError: naming what cannot be used: a file of the detector, the split, or a cache of proposals.
    """
    cache = open_cache(settings, settings.detector.propose)
    split = read_split(settings, build_dataset(parser, settings))
    require_stated_sizes(split.records)
    detector = build_detector(parser, settings, split.dataset)
    if cache is not None:
        cache.require(split.records)
    rule = settings.rule or split.dataset.scoring_rule
    return Measured(detector, split, rule, ImageProposals(detector.propose, cache))


def build_dataset(parser: ArgumentParser, settings: Namespace) -> DataSet:
    """Instantiate the reader of the data set, without the detector."""
    without = settings.clone()
    without.detector.pop("propose")
    without.detector.pop("classify")
    dataset: DataSet = parser.instantiate(without).dataset
    return dataset


def build_detector(parser: ArgumentParser, settings: Namespace, dataset: DataSet) -> Detector:
    """Instantiate the detector, whose classes have to be those of the data set.

    Raises:
        InputError: if they are others, or a file of the detector cannot be used.
    """
    detector = Detector(**parser.instantiate(settings).detector)
    require_same_classes("detector", detector.class_names, settings.data, dataset.class_names)
    return detector


def read_split(settings: Namespace, dataset: DataSet) -> Split:
    """Read the split `settings.split`, and choose as many of its images as `settings.limit` allows.

    Raises:
        InputError: if there are no images, or the annotations cannot be used.
    """
    entries = dataset.read_entries(settings.split)
    objects = read_data_set(dataset, settings.split, entries)
    chosen = evenly_spaced(entries, settings.limit)
    if not chosen:
        raise InputError(f"{settings.data}: expected images in split '{settings.split}', got none")
    return Split(dataset, objects, chosen)
