"""The benchmark of tiles: what `detect --tile` finds and how long it takes, in large pictures of four photographs each.

detect-benchmark tiles --data FOLDER --split val --pictures 40

The photographs of a split are drawn at random and laid side by side, two by two, in their own resolution. A detector
looks at each picture as a whole, and then also at its tiles.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jsonargparse import Namespace

from detection.configuration import TILE_OVERLAP, load_detector
from detection.datasets.annotated_images import read_annotated_image
from detection.detector import Detector
from detection.errors import InputError
from detection.evaluation import score
from detection.sources.tiles import MAX_OVERLAP, TiledProposer
from detection.structures.arrays import Image
from detection.structures.class_choice import require_same_classes
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import split_detections, split_index, split_objects
from tools.command.option_parser import OptionParser
from tools.command.options import Count, Seed, Side, add_detector_options, add_split_options, real
from tools.command.output_file import add_output_options, prepare_outputs
from tools.report.json_values import write_json
from tools.report.text_table import format_number, format_table

LOWEST_SCORE = 0.01
"""Detections from this score on are counted, because the average precision takes all scores into account."""

FIGURES = ("AP", "AP50", "AP_small", "AP_medium", "AP_large")
"""The figures of COCO's rule that are shown; unknown where there are no objects of a size."""


class Mosaic(NamedTuple):
    """A picture of four photographs, and the objects in it."""

    image: Image
    objects: GroundTruth


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark tiles", description="Measure what tiles find in large pictures.")
    add_split_options(parser)
    add_detector_options(parser)
    parser.add_argument("--pictures", type=Count, default=40, help="pictures of four photographs each")
    parser.add_argument("--tile", type=Side, default=640, help="side of a tile in pixels")
    parser.add_argument(
        "--overlap", type=real(0, MAX_OVERLAP), default=TILE_OVERLAP, help="share of a tile in its neighbour"
    )
    parser.add_argument("--seed", type=Seed, default=0, help="seed of the choice of photographs")
    add_output_options(parser, "json")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table of the average precision of objects of each size, with and without tiles.

    Raises:
        InputError: naming what cannot be read or used, or if the split has fewer photographs than are needed.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    (json_file,) = prepare_outputs(parser, options, "json")
    dataset = parser.instantiate(options.clone()).dataset
    records = dataset.read(options.split)
    if len(records) < 4 * options.pictures:
        raise InputError(f"--pictures: expected at most {len(records) // 4}, a quarter of the split")
    detector = load_detector(options.config, options.device)
    detector.score_threshold = LOWEST_SCORE
    require_same_classes(options.data, dataset.class_names, "the detector", detector.class_names)
    report = measure(detector, records, options)
    print(format_report(report))
    write_json(json_file, {"tile": options.tile, "overlap": options.overlap, **report})


def measure(detector: Detector, records: Sequence[GroundTruth], options: Namespace) -> dict[str, Any]:
    """Return the average precision by size and the median seconds of a picture, as a whole and with tiles."""
    tiled = TiledProposer(detector.propose, options.tile, options.overlap)
    detectors = {"whole": detector, "tiles": replace(detector, propose=tiled)}
    found: dict[str, dict[str, Detections]] = {name: {} for name in detectors}
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    all_objects = []
    chosen = np.random.default_rng(options.seed).permutation(len(records))[: 4 * options.pictures]
    for number, four in enumerate(chosen.reshape(-1, 4).tolist()):
        image, objects = mosaic(str(number), [records[place] for place in four])
        all_objects.append(objects)
        for name, measured in detectors.items():
            start = time.perf_counter()
            found[name][objects.image_id] = measured(image)
            seconds[name].append(time.perf_counter() - start)
    index = split_index([objects.image_id for objects in all_objects], detector.class_names)
    truth = split_objects(index, all_objects)
    report: dict[str, Any] = {"pictures": len(all_objects), "objects": len(truth)}
    for name, detections in found.items():
        details = score(truth, split_detections(index, detections), "coco").details
        figures = {figure: None if np.isnan(details[figure]) else details[figure] for figure in FIGURES}
        report[name] = figures | {"seconds": statistics.median(seconds[name])}
    return report


def mosaic(name: str, records: Sequence[GroundTruth]) -> Mosaic:
    """Return four photographs two by two, each in a corner of its cell; black is left where they are smaller."""
    photos = [read_annotated_image(record) for record in records]
    height, width = (max(sides) for sides in zip(*(photo.shape[:2] for photo in photos), strict=True))
    image = np.zeros((2 * height, 2 * width, 3), np.uint8)
    boxes = []
    for place, (photo, record) in enumerate(zip(photos, records, strict=True)):
        top, left = place // 2 * height, place % 2 * width
        image[top : top + photo.shape[0], left : left + photo.shape[1]] = photo
        boxes.append(record.boxes + np.array([left, top, left, top], np.float32))
    labels = np.concatenate([record.labels for record in records])
    ignored = np.concatenate([record.ignored for record in records])
    return Mosaic(image, GroundTruth(name, Path(name), np.concatenate(boxes), labels, ignored))


def format_report(report: dict[str, Any]) -> str:
    """Return a table with a row for the whole pictures and one for those with tiles."""
    columns = list(report["whole"])
    rows = [[name, *(format_number(report[name][column]) for column in columns)] for name in ("whole", "tiles")]
    heading = f"{report['pictures']} pictures with {report['objects']} objects; average precision, median seconds"
    return f"{heading}\n{format_table([['', *columns], *rows])}"
