"""The benchmark of a data set: the stages of `detect-dataset` one by one, and the engines beside the command `detect`.

detect-benchmark dataset --input photos/ --limit 200 --workers 1 2

The engine on Ray is measured for each number of `--workers` of each kind, by default if ray is installed. Its first
images wait for the start of the workers, which a long run does not notice; so the speed is that of the images after the
first group of results. A group has up to 16 images for each worker, so that a hundred images and more give a useful
figure.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace

from detection.detector import Detector
from detection.errors import InputError
from detection.formats.dataset_results.partition import import_parquet, write_partition
from detection.runtime.parallel.many_images import propose_boxes, score_batch
from tools.bulk.inputs.item import Columns
from tools.bulk.inputs.listing import list_items
from tools.bulk.inputs.pictures import item_pictures
from tools.bulk.local_engine import detect_locally
from tools.bulk.plan import DetectorChoice, Plan
from tools.bulk.ray_engine import ClusterOptions, detect_on_cluster, require_ray
from tools.bulk.stages import result_row
from tools.command.option_parser import OptionParser
from tools.command.options import Count, add_detector_options, evenly_spaced, whole
from tools.command.output_file import add_output_options, prepare_outputs
from tools.report.json_values import write_json
from tools.report.text_table import format_table

STAGES = ("list", "read", "propose", "score", "write")


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark dataset", description="Time the engines of detect-dataset.")
    parser.add_argument("--input", type=str, nargs="+", required=True, help="what detect-dataset takes")
    add_detector_options(parser)
    parser.add_argument("--limit", type=Count, default=200, help="take at most this many images, evenly spaced")
    workers = "numbers of workers of each kind for the engine on Ray; default: 1 2 if ray is installed"
    parser.add_argument("--workers", nargs="*", type=whole(1, 10_000), help=workers)
    parser.add_argument("--address", type=str | None, help="of a Ray cluster; default: start one on this machine")
    add_output_options(parser, "json")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table of the stages and one of the engines."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    for option in ("workers", "address"):
        if options[option]:
            require_ray(f"--{option}")
    if options.workers is None:
        options.workers = [1, 2] if find_spec("ray") else []
    (json_file,) = prepare_outputs(parser, options, "json")
    write_json(json_file, measure(options))


def measure(options: Namespace) -> dict[str, Any]:
    """Return the report, and print its tables.

    Raises:
        InputError: if the images or the detector cannot be used, or one of the images cannot be read.
    """
    columns = Columns("key", "image")
    choice = DetectorChoice(options.config, {}, options.device)
    start = time.perf_counter()
    items = list_items(options.input, columns)
    listing = (time.perf_counter() - start) / len(items)
    chosen = evenly_spaced(items, options.limit)
    plan = Plan(chosen, columns, len(chosen), choice)
    detector = choice.load()
    detector(next(item_pictures(chosen, columns)).read())  # compiles loops
    stages = {"list": listing} | time_stages(plan, detector)
    print(format_table([["stage", "ms an image"], *([name, f"{1e3 * stages[name]:.2f}"] for name in STAGES)]))
    runs = {
        "detect": measure_speed(lambda: detector.stream(item_pictures(chosen, columns))),
        "local": measure_speed(lambda: detect_locally(plan, [0], detector)),
    }
    for workers in options.workers:
        cluster = ClusterOptions(options.address, workers, None)
        runs[f"ray, {workers} of each"] = measure_speed(lambda: detect_on_cluster(plan, [0], cluster))  # noqa: B023
    print(format_table([["engine", "images/s", "s to the first", "s in all"], *map(table_row, runs, runs.values())]))
    return {"images": len(chosen), "threads": torch.get_num_threads(), "stages": stages, "engines": runs}


def table_row(name: str, run: Mapping[str, float]) -> list[str]:
    """Return the row of an engine; it has no speed if there were too few images for it."""
    speed = f"{run['images_per_second']:.2f}" if run["images_per_second"] else "-"
    return [name, speed, f"{run['start']:.1f}", f"{run['seconds']:.1f}"]


def time_stages(plan: Plan, detector: Detector) -> dict[str, float]:
    """Return the seconds an image of each stage, one image after the other; raises an `InputError` for a bad image."""
    import_parquet()  # takes longer than to write
    seconds = dict.fromkeys(STAGES[1:], 0.0)
    rows = []
    for picture in item_pictures(plan.items, plan.columns):
        start = time.perf_counter()
        picture.read()
        read = time.perf_counter()
        (proposed,) = propose_boxes(detector, [picture])  # which reads it again
        done = time.perf_counter()
        (result,) = score_batch(detector, [proposed])
        scored = time.perf_counter()
        if result.error is not None:
            raise InputError(f"{picture.name}: {result.error}")
        rows.append(result_row(picture.name, result))
        seconds["read"] += read - start
        seconds["propose"] += done - read - (read - start)
        seconds["score"] += scored - done
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_partition(Path(folder), 0, rows, plan.choice.versions)
        seconds["write"] = time.perf_counter() - start
    return {name: value / len(rows) for name, value in seconds.items()}


def measure_speed(run: Callable[[], Iterable[Any]]) -> dict[str, float]:
    """Return the seconds until the first result of a run, those of the whole run, and the results a second."""
    begin = time.perf_counter()
    times = [time.perf_counter() - begin for _ in run()]
    return {"start": times[0], "seconds": times[-1], "images_per_second": speed_after_start(times)}


def speed_after_start(times: Sequence[float]) -> float:
    """Return the results a second after the first ones, or 0 if no result came later than these.

    Results come in groups. Those of the first group were computed before it came, so they do not count; it has all
    results that come within a hundredth of the time, and at least 10 ms.

    Args:
        times: when each result came, in seconds and in order.
    """
    seconds = times[-1] - times[0]
    later = sum(time > times[0] + max(0.01, 0.01 * seconds) for time in times)
    return later / seconds if later else 0.0
