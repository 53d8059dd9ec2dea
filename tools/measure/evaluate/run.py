"""Detect in the images of a split and score what was found.

python -m tools.evaluate run --config configs/tiny_imagenet/tiny_imagenet.yaml --data FOLDER --split val

The results of each image are kept as soon as it is done. A run that was interrupted goes on where it stood when it is
started again, and one that is done only scores again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt
from tqdm import tqdm

from classifier.scoring.weights_file import find_weights
from classifier.whole_images.image_classifier import require_same_classes
from detection.datasets import DataSet
from detection.datasets.dataset import Entry
from detection.detector import Detector
from detection.errors import InputError
from detection.evaluation import DetectionMetrics, score
from detection.evaluation.uncertainty.bootstrap import RESAMPLES
from detection.formats.ground_truth import coco_ground_truth, read_data_set
from detection.formats.run_results import GROUND_TRUTH_NAME, NAME, ImageResult, ResultsWriter
from detection.runtime.whole_file import write_whole
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import SplitObjects, select_images, split_detections
from proposals.cache.reader import ProposalCache
from proposals.coverage import covered_count
from tools.command.experiment import add_experiment_options
from tools.command.image_proposals import ImageProposals, cache_settings, open_cache, propose_ahead
from tools.command.output_file import prepare_output
from tools.command.split_options import add_limit_option, evenly_spaced
from tools.measure.evaluate.input import warn
from tools.measure.evaluate.score import RuleName
from tools.report.page import write_page
from tools.report.score_report import build_report, format_report, write_json

IMAGES_AT_ONCE = 16
"""Images whose regions share the classifier's batches."""

MAKES_NO_DIFFERENCE = {"device", "batch_size"}
"""Settings of a detector that may change in the middle of a run."""


class Split(NamedTuple):
    """What is measured on: all `objects` of a split, and the images `chosen` of it, at least one."""

    dataset: DataSet
    objects: SplitObjects
    chosen: Sequence[Entry]

    @property
    def chosen_objects(self) -> SplitObjects:
        """The objects of the images that were chosen, in their order."""
        rows = {name: row for row, name in enumerate(self.objects.index.image_ids)}
        names = (entry.record.image_id for entry in self.chosen)
        return select_images(self.objects, np.array([rows[name] for name in names], np.int64))


def build_parser() -> ArgumentParser:
    """The options of the action."""
    parser = ArgumentParser(prog="python -m tools.evaluate run", description="Measure a detector on a split.")
    add_measured_split(parser)
    parser.add_argument(
        "--results",
        type=str | None,
        default=None,
        help="folder to keep them in; default: one of its own below --output",
    )
    parser.add_argument("--json", type=str | None, default=None, help="file for mAP, the AP of each class, and more")
    parser.add_argument("--html", type=str | None, default=None, help="file for the report as a page for a browser")
    parser.add_argument("--resamples", type=NonNegativeInt, default=RESAMPLES, help="of the bootstrap; 0 for none")
    return parser


def add_measured_split(parser: ArgumentParser) -> None:
    """Add the options of an experiment with a detector, which images to measure it on, and by which rule."""
    add_experiment_options(parser, detector_required=True)
    parser.add_argument("--split", type=str, default="val")
    add_limit_option(parser)
    parser.add_argument("--rule", type=RuleName | None, default=None, help="default: that of the data set")


def main(arguments: Sequence[str] | None = None) -> int:
    """Detect where that is still to do, score, print, and return the exit status; raises `InputError`."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    json_file = prepare_output(settings.json) if settings.json is not None else None
    html_file = prepare_output(settings.html) if settings.html is not None else None
    split = read_split(settings, build_dataset(parser, settings))
    writer = complete_results(settings, split, lambda: build_detector(parser, settings, split.dataset))
    print(f"{writer.path.parent}: results of {len(writer.images)} images")
    metrics, report = score_images(settings, writer, split)
    covered = "" if report["coverage"] is None else f", which cover {report['coverage']:.1%} of the objects at IoU 0.5"
    print(f"{report['proposals_per_image']:.1f} proposals an image{covered}")
    print(format_report(report))
    write_json(json_file, report)
    if html_file is not None:
        paths = {entry.record.image_id: entry.record.path for entry in split.chosen}
        write_page(html_file, report, metrics, paths.get)
    return 0


class Measured(NamedTuple):
    """A detector, and the images to measure it on with where their proposals come from."""

    detector: Detector
    split: Split
    rule: str
    records: Sequence[GroundTruth]
    proposals: ImageProposals


def open_measured(parser: ArgumentParser, settings: Namespace) -> Measured:
    """What the options of `add_measured_split` say.

    Raises:
        InputError: naming what cannot be used: a file of the detector, the split, a cache of proposals.
    """
    cache = open_cache(settings, settings.detector.propose)
    split = read_split(settings, build_dataset(parser, settings))
    detector = build_detector(parser, settings, split.dataset)
    records = [entry.record for entry in split.chosen]
    if cache is not None:
        cache.require(records)
    rule = settings.rule or split.dataset.scoring_rule
    return Measured(detector, split, rule, records, ImageProposals(detector.propose, cache))


def build_dataset(parser: ArgumentParser, settings: Namespace) -> DataSet:
    """The reader alone: a run that is done needs no detector."""
    without = settings.clone()
    without.detector.pop("propose")
    without.detector.pop("classify")
    dataset: DataSet = parser.instantiate(without).dataset
    return dataset


def read_split(settings: Namespace, dataset: DataSet) -> Split:
    """The split that is named, and the images that the limit takes from it.

    Raises:
        InputError: if there are none, or its annotations cannot be used.
    """
    entries = dataset.read_entries(settings.split)
    objects = read_data_set(dataset, settings.split, entries)
    chosen = evenly_spaced(entries, settings.limit)
    if not chosen:
        raise InputError(f"{settings.data}: expected images in split '{settings.split}', got none")
    return Split(dataset, objects, chosen)


def complete_results(settings: Namespace, split: Split, build: Callable[[], Detector]) -> ResultsWriter:
    """The results of the chosen images; a detector is built if there is something left to do.

    Raises:
        InputError: naming what cannot be read, written or used.
    """
    cache = open_cache(settings, settings.detector.propose)
    writer = open_results(settings, split, cache)
    missing = [entry.record for entry in split.chosen if entry.record.image_id not in writer.images]
    if missing:
        detector = build()
        if cache is not None:
            cache.require(missing)
        write_whole(writer.path.parent / GROUND_TRUTH_NAME, coco_ground_truth(split.objects))
        proposals = ImageProposals(detector.propose, cache)
        add_results(writer, detector, missing, proposals, workers=settings.workers)
    return writer


def open_results(settings: Namespace, split: Split, cache: ProposalCache | None) -> ResultsWriter:
    """The results so far, in the folder that is named or follows from the settings.

    Raises:
        InputError: naming the file, if there are results of other settings or another data set.
    """
    made_with = {
        "dataset": cache_settings(settings, None)["dataset"],
        "detector": what_matters(settings.detector.as_dict()),
        "split": settings.split,
        "rule": split.dataset.scoring_rule,
        "cached_proposals": cache is not None,
        "ground_truth_crc32": zlib.crc32(coco_ground_truth(split.objects)),
    }
    stated = json.dumps(made_with, sort_keys=True, default=str)
    default = Path(settings.output) / "evaluation" / f"{settings.split}-{zlib.crc32(stated.encode()):08x}"
    folder = Path(settings.results) if settings.results is not None else default
    return ResultsWriter(folder / NAME, made_with, split.dataset.class_names)


def what_matters(settings: Any) -> Any:
    """Settings of a detector without those that make no difference, and with the CRC-32 of files beside their names."""
    if isinstance(settings, dict):
        return {key: what_matters(value) for key, value in settings.items() if key not in MAKES_NO_DIFFERENCE}
    if isinstance(settings, list):
        return [what_matters(value) for value in settings]
    if isinstance(settings, str) and find_weights(settings).is_file():
        return f"{settings} (CRC-32 {zlib.crc32(find_weights(settings).read_bytes()):08x})"
    return settings


def build_detector(parser: ArgumentParser, settings: Namespace, dataset: DataSet) -> Detector:
    """The detector, which has to know the classes of the data set.

    Raises:
        InputError: if it does not, or a file of its own cannot be used.
    """
    detector = Detector(**parser.instantiate(settings).detector)
    require_same_classes("detector", detector.class_names, settings.data, dataset.class_names)
    return detector


def add_results(
    writer: ResultsWriter,
    detector: Detector,
    missing: Sequence[GroundTruth],
    proposals: ImageProposals,
    *,
    workers: int,
) -> None:
    """Detect in the images that have no results yet, and add those of each at once.

    Raises:
        InputError: naming the image or file that cannot be read or written.
    """
    done = len(writer.images)
    progress = tqdm(total=done + len(missing), initial=done, unit="image", disable=None)
    with writer, progress:
        for result in detect_each(detector, missing, proposals, workers=workers):
            writer.add(result)
            progress.update()


def detect_each(
    detector: Detector, records: Sequence[GroundTruth], proposals: ImageProposals, *, workers: int
) -> Iterator[ImageResult]:
    """The results of each image, in their order, while `workers` threads read and propose the next."""
    for group in propose_ahead(records, proposals, threads=workers, at_once=IMAGES_AT_ONCE):
        detections = detector.score([one.image for one in group], [one.proposals for one in group])
        for (record, image, of_image), found in zip(group, detections, strict=True):
            covered = covered_count(of_image.boxes, record.boxes[~record.ignored])
            yield ImageResult(record.image_id, (image.shape[0], image.shape[1]), len(of_image), found, covered)


def score_images(settings: Namespace, writer: ResultsWriter, split: Split) -> tuple[DetectionMetrics, dict[str, Any]]:
    """The score of the images that were chosen, whatever others have results too, and the report on it."""
    names = [entry.record.image_id for entry in split.chosen]
    selected = split.chosen_objects
    detections = split_detections(selected.index, {name: writer.images[name].detections for name in names})
    metrics = score(selected, detections, settings.rule or split.dataset.scoring_rule)
    report = build_report(metrics, resamples=settings.resamples, warnings=warn(selected, detections))
    results = [writer.images[name] for name in names]
    everything = len(names) == len(split.objects.index.image_ids)
    source = {"results": str(writer.path.parent.absolute()), "images": None if everything else names}
    return metrics, report | {
        "proposals_per_image": sum(result.proposal_count for result in results) / len(results),
        "coverage": coverage_of(results, int((~selected.ignored).sum())),
        "source": source,
    }


def coverage_of(results: Sequence[ImageResult], object_count: int) -> float | None:
    """The share of the objects that proposals find, 0-1; None where it was not counted, or there are no objects."""
    counts = [result.covered for result in results if result.covered is not None]
    return sum(counts) / object_count if object_count and len(counts) == len(results) else None
