"""The benchmark of evaluation: scoring and analysis of a split as large as ILSVRC's, and pycocotools on a part of it.

detect-benchmark evaluation
"""

from __future__ import annotations

import contextlib
import io
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jsonargparse import Namespace

from detection.evaluation import RULES, score
from detection.evaluation.coco_rule import to_pycocotools
from detection.evaluation.rules import COCO_AT_HALF
from detection.evaluation.uncertainty.bootstrap import bootstrap_intervals, draw_images
from detection.structures.split_columns import (
    SplitDetections,
    SplitObjects,
    corners_to_xywh,
    select_images,
    split_index,
)
from tools.command.option_parser import OptionParser
from tools.command.options import Count, Resamples, Seed, whole
from tools.measure.benchmark.timing import time_run
from tools.report.analysis import analyse

OBJECTS_AN_IMAGE = 2.76
"""The number of objects per image in ILSVRC's validation split: 55,502 in 20,121 images."""

DETECTIONS_AN_OBJECT = 8
"""The number of detections around an object, with its class; the others lie anywhere, with any class."""


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark evaluation", description="Time scoring, on synthetic detections.")
    parser.add_argument("--images", type=Count, default=20_000, help="number of images")
    parser.add_argument("--detections", type=whole(0, 10_000), default=100, help="number of detections in each image")
    parser.add_argument("--classes", type=whole(1, 100_000), default=200, help="number of classes")
    parser.add_argument("--compared-images", type=Count, default=2_000, help="images that pycocotools scores too")
    parser.add_argument(
        "--resamples", type=Resamples, default=1_000, help="resamples of the bootstrap; 0 for no bootstrap"
    )
    parser.add_argument("--seed", type=Seed, default=0, help="seed of the synthetic split")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    options = build_parser().parse_args(arguments)
    objects, detections = synthetic_split(options)
    print(f"{options.images} images, {len(objects)} objects, {len(detections)} detections, {options.classes} classes")
    before = peak_memory()
    for rule in [name for name in RULES if name != "coco"]:
        seconds, metrics = time_run(partial(score, objects, detections, rule))
        print(f"  {rule:24} {seconds:7.2f} s  mAP {metrics.mean_average_precision:.4f}")
    if options.resamples:
        draws = draw_images(options.images, resamples=options.resamples, seed=options.seed)
        seconds, _ = time_run(lambda: bootstrap_intervals(metrics, draws))
        print(f"  {'bootstrap':24} {seconds:7.2f} s  {options.resamples} resamples")
    print(f"  {'analysis':24} {time_run(lambda: analyse(metrics))[0]:7.2f} s")
    print(f"  peak memory {peak_memory():.0f} MB, of which {before:.0f} MB before scoring")
    compared = min(options.compared_images, options.images)
    fewer = select_images(objects, np.arange(compared))
    compare_with_pycocotools(fewer, replace(detections[detections.images < compared], index=fewer.index))


def synthetic_split(options: Namespace) -> tuple[SplitObjects, SplitDetections]:
    """Return objects, and detections of which some lie around the objects, in images of 500x375 pixels."""
    generator = np.random.default_rng(options.seed)
    index = split_index([str(row) for row in range(options.images)], [str(label) for label in range(options.classes)])
    count = round(OBJECTS_AN_IMAGE * options.images)
    images = np.sort(generator.integers(options.images, size=count))
    labels = generator.integers(options.classes, size=count)
    boxes = _random_boxes(generator, count)
    nothing = np.zeros(count, np.bool_)
    objects = SplitObjects(index, images, labels, boxes, nothing, nothing, boxes[:, 2] * boxes[:, 3])

    total = options.images * options.detections
    detection_images = np.repeat(np.arange(options.images), options.detections)
    detection_labels = generator.integers(options.classes, size=total)
    detection_boxes = _random_boxes(generator, total)
    firsts = np.searchsorted(images, images)  # the first object of each object's image
    places = (np.arange(count) - firsts)[:, None] * DETECTIONS_AN_OBJECT + np.arange(DETECTIONS_AN_OBJECT)
    rows = images[:, None] * options.detections + places
    fits = places < options.detections
    around = np.repeat(boxes[:, None], DETECTIONS_AN_OBJECT, axis=1)
    around += generator.normal(0, 0.12, around.shape) * around[..., [2, 3, 2, 3]]
    detection_boxes[rows[fits]] = np.maximum(around, 0)[fits]
    detection_labels[rows[fits]] = np.broadcast_to(labels[:, None], rows.shape)[fits]
    return objects, SplitDetections(index, detection_images, detection_labels, detection_boxes, generator.random(total))


def _random_boxes(generator: np.random.Generator, count: int) -> Any:
    corners = np.sort(generator.uniform(0, 1, (count, 2, 2)), axis=1) * (500, 375)
    return corners_to_xywh(corners.reshape(count, 4))


def compare_with_pycocotools(objects: SplitObjects, detections: SplitDetections) -> None:
    """Score with both, at IoU 0.5 and for all sizes; print the times and the largest difference of the results."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = prepare_pycocotools(objects, detections)
        theirs, _ = time_run(lambda: (evaluation.evaluate(), evaluation.accumulate()))
    ours, metrics = time_run(lambda: score(objects, detections, COCO_AT_HALF))
    precision = evaluation.eval["precision"][0, :, :, 0, 0]  # [101, C]
    expected = np.where(precision == -1, np.nan, precision).mean(axis=0)
    apart = np.nanmax(np.abs(expected - metrics.average_precision), initial=0)
    print(f"{len(objects.index.image_ids)} of the images, AP at IoU 0.5, apart by at most {apart:.1e}")
    print(f"  {'pycocotools':24} {theirs:7.2f} s  evaluate and accumulate, tables prepared before")
    print(f"  {'this project':24} {ours:7.2f} s  {theirs / ours:.0f} times as fast")


def prepare_pycocotools(objects: SplitObjects, detections: SplitDetections) -> Any:
    """Return the evaluation of pycocotools, restricted to what is compared."""
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    evaluation = COCOeval(*to_pycocotools(objects, detections), "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [100]
    return evaluation


def peak_memory() -> float:
    """Return the most memory that the process has used, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
