"""The benchmark of evaluation: scoring and analysis of a split as large as ILSVRC's, and of other programs.

detect-benchmark evaluation
RAYON_NUM_THREADS=1 OMP_NUM_THREADS=1 detect-benchmark evaluation    # hotcoco uses all cores otherwise
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import Namespace

from detection.evaluation import RULES, score
from detection.evaluation.uncertainty.bootstrap import bootstrap_intervals, draw_images
from detection.formats.coco_results import write_coco_results
from detection.formats.ground_truth import coco_ground_truth
from detection.structures.arrays import Float64Array
from detection.structures.split_columns import (
    SplitDetections,
    SplitObjects,
    corners_to_xywh,
    select_images,
    split_index,
)
from tools.command.option_parser import OptionParser
from tools.command.options import Count, Resamples, Seed, whole
from tools.measure.benchmark.baselines.coco_programs import MODULES, OURS, CocoProgram, Files, coco_programs
from tools.measure.benchmark.timing import time_run
from tools.report.analysis import analyse
from tools.report.text_table import format_table

OBJECTS_AN_IMAGE = 2.76
"""The number of objects per image in ILSVRC's validation split: 55,502 in 20,121 images."""

SLOW = 30
"""The number of seconds after which a program is not measured again."""

STEPS = ("IoU 0.5", "COCO's rule", "read JSON", "JSON to figures", "whole command")
"""What is timed: scoring of tables at one IoU threshold and at all ten, reading, reading and scoring, and a process."""

DETECTIONS_AN_OBJECT = 8
"""The number of detections around an object, with its class; the others lie anywhere, with any class."""


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark evaluation", description="Time scoring, on synthetic detections.")
    parser.add_argument("--images", type=Count, default=20_000, help="number of images")
    parser.add_argument("--detections", type=whole(0, 10_000), default=100, help="number of detections in each image")
    parser.add_argument("--classes", type=whole(1, 100_000), default=200, help="number of classes")
    parser.add_argument("--compared-images", type=Count, default=2_000, help="images that all programs score")
    parser.add_argument("--repeat", type=Count, default=3, help="how often each program scores them")
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
    print(f"{compared} of the images, least of {options.repeat} times in turn, hotcoco with {threads()} threads")
    compare_programs(fewer, replace(detections[detections.images < compared], index=fewer.index), options.repeat)


def threads() -> str:
    """Return the number of threads that hotcoco may use."""
    return os.environ.get("RAYON_NUM_THREADS") or str(os.cpu_count())


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


def compare_programs(objects: SplitObjects, detections: SplitDetections, repeat: int) -> None:
    """Score by COCO's rule with all programs in turn, and print the least times and the differences of the figures."""
    programs = coco_programs()
    seconds: dict[str, list[list[float]]] = {name: [] for name in programs}
    figures: dict[str, Float64Array] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "truth.json", Path(folder) / "results.json"
        files[0].write_bytes(coco_ground_truth(objects))
        write_coco_results(files[1], detections)
        for _ in range(repeat):
            for name, program in programs.items():
                if np.sum(seconds[name]) < SLOW:
                    times, figures[name] = time_program(program, files)
                    seconds[name].append(times)
    print(format_comparison({name: np.min(times, axis=0) for name, times in seconds.items()}))
    for name in list(figures)[1:]:
        apart = np.abs(figures[name] - figures[OURS]).max()
        print(f"{name}: figures apart by at most {apart:.1e}")
    for name in [name for name in MODULES if name not in programs]:
        print(f"{name}: not installed; `pip install 'inception-rcnn[benchmark]'` adds it")


def time_program(program: CocoProgram, files: Files) -> tuple[list[float], Float64Array]:
    """Return the seconds of each of `STEPS`, and all figures."""
    reading, tables = time_run(partial(program.read, files))
    half, precision = time_run(partial(program.evaluate_half, tables))
    scoring, figures = time_run(partial(program.evaluate, tables))
    command, _ = time_run(partial(program.command, files))
    return [half, scoring, reading, reading + scoring, command], np.concatenate([precision, figures])


def format_comparison(seconds: Mapping[str, Float64Array]) -> str:
    """Return a table of the seconds of `STEPS` by program, and of their ratios to those of this project."""
    rows = [["", *(cell for step in STEPS for cell in (step, ""))]]
    for name, times in seconds.items():
        ratios = times / seconds[OURS]
        cells = [f"{time:.2f} s" for time in times], [f"{ratio:.1f}x" for ratio in ratios]
        rows.append([f"  {name}", *(cell for pair in zip(*cells, strict=True) for cell in pair)])
    return format_table(rows)


def peak_memory() -> float:
    """Return the most memory that the process has used, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
