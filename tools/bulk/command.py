"""Detect in a data set of any size, on one machine or on a cluster, and write the results as parquet files.

detect-dataset --input photos/ --output found
detect-dataset --input 's3://bucket/shards/*.tar' --output found --engine ray --address auto
detect-dataset --input photos/ --output found --dry-run --machines 10 --price 0.40

A command that was interrupted goes on when it is run again: finished partitions are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from jsonargparse import Namespace
from jsonargparse.typing import ClosedUnitInterval
from tqdm import tqdm

from detection.errors import InputError
from detection.formats.dataset_results.manifest import COMMAND
from detection.formats.dataset_results.partition import ImageRow, import_parquet
from detection.runtime.output_file import require_writable
from tools.bulk.coco import DataSetFile
from tools.bulk.estimate import counted, estimate, format_estimate
from tools.bulk.inputs.item import Columns
from tools.bulk.inputs.listing import list_items
from tools.bulk.local_engine import detect_locally
from tools.bulk.output import OutputFolder
from tools.bulk.plan import DetectorChoice, Plan
from tools.bulk.ray_engine import ClusterOptions, detect_on_cluster, require_ray
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import Count, add_detector_options, add_engine_options, real, require_cluster, whole
from tools.command.output_file import add_overwrite_option, read_files

OVERRIDES = ("score_threshold", "max_detections")
"""Options that replace the value in the file of the detector."""

INPUT_HELP = "folders, files or patterns of pictures, tar or zip archives or parquet files, or addresses of stores"


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog=COMMAND, description="Detect in a data set of any size.")
    parser.add_argument("--input", type=str, nargs="+", action="extend", required=True, help=INPUT_HELP)
    parser.add_argument("--output", type=str, required=True, help="folder for the parquet files and their manifest")
    add_engine_options(parser, "where to compute: this machine, or Ray")
    add_detector_options(parser)
    parser.add_argument("--score-threshold", type=ClosedUnitInterval | None, help="keep detections from this score on")
    parser.add_argument("--max-detections", type=whole(1, 100_000) | None, help="keep at most this many for each image")
    parser.add_argument("--partition-size", type=Count, default=1000, help="images in a parquet file")
    parser.add_argument("--key-column", type=str, default="key", help="column with the key of each image")
    parser.add_argument("--image-column", type=str, default="image", help="column with the bytes of each image file")
    parser.add_argument("--redo-errors", action="store_true", help="do partitions again in which an image has an error")
    parser.add_argument("--coco", type=str | None, help="also write all detections to this file in the format of COCO")
    add_overwrite_option(parser)
    dry = parser.add_argument_group("estimate")
    dry.add_argument("--dry-run", action="store_true", help="count the images, estimate the time and cost, and end")
    dry.add_argument("--sample", type=Count | None, help="images that the estimate times; default: 8")
    dry.add_argument("--machines", type=Count | None, help="machines like this one in the estimate; default: 1")
    dry.add_argument("--price", type=real(0, 1e6) | None, help="price of an hour of such a machine")
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument("--workers", type=Count | None, help="workers of each kind on CPUs; default: one on each core")
    cluster.add_argument(
        "--memory", type=real(0.01, 1e5) | None, help="GB of images between the workers; default: Ray's"
    )
    return parser


@command(COMMAND)
def main(arguments: Sequence[str]) -> int:
    """Detect in all images that are missing in the output; the exit status is 1 if an image could not be read."""
    settings = build_parser().parse_args(arguments)
    require_cluster(settings, "address", "workers", "memory")
    for name in ("sample", "machines", "price"):
        if settings[name] is not None and not settings.dry_run:
            raise InputError(f"--{name}: expected --dry-run too, because only the estimate uses it")
    if "://" in settings.output:
        raise InputError(f"--output: expected a folder of this machine, got the address {settings.output}")
    import_parquet()
    if settings.engine == "ray":
        require_ray()
    export = None
    if settings.coco is not None:
        export = DataSetFile(
            Path(settings.coco), inputs=read_files(settings, outputs=["coco"]), overwrite=settings.overwrite
        )
    plan = make_plan(settings)
    output = OutputFolder(Path(settings.output), plan.manifest())
    missing = output.missing(redo_errors=settings.redo_errors)
    if settings.dry_run:
        figures = estimate(plan, missing, plan.choice.load(), sample=settings.sample or 8)
        print(format_estimate(figures, machines=settings.machines or 1, price=settings.price))
        return 0
    if missing:
        require_writable(output.path / "file")
        fill(output, plan, missing, settings)
    if export is not None:
        export.write(output.path, output.manifest)
    return report(output)


def make_plan(settings: Namespace) -> Plan:
    """List the images, and return them with the detector that the options choose.

    Raises:
        InputError: naming the input that cannot be listed, or the file of the detector that cannot be read.
    """
    columns = Columns(settings.key_column, settings.image_column)
    overrides = {name: settings[name] for name in OVERRIDES if settings[name] is not None}
    choice = DetectorChoice(settings.config, overrides, settings.device)
    return Plan(list_items(settings.input, columns, Path(settings.output)), columns, settings.partition_size, choice)


def fill(output: OutputFolder, plan: Plan, missing: Sequence[int], settings: Namespace) -> None:
    """Detect in the images of the missing partitions, and write each partition when it is complete.

    Raises:
        InputError: naming what cannot be used or written.
    """
    detector = plan.choice.load() if settings.engine == "local" else None
    class_names = (detector or plan.choice._replace(device="cpu").load()).class_names
    output.begin(class_names)
    rows: Generator[tuple[int, int, ImageRow], None, None]
    if detector is not None:
        rows = detect_locally(plan, missing, detector)
    else:
        memory = None if settings.memory is None else round(settings.memory * 1e9)
        rows = detect_on_cluster(plan, missing, ClusterOptions(settings.address, settings.workers, memory))
    left = sum(len(plan.partition(number)) for number in missing)
    progress = tqdm(total=len(plan.items), initial=len(plan.items) - left, unit="image", disable=None)
    with progress, closing(rows):
        output.write_all(rows, lambda number: len(plan.partition(number)), progress.update)


def report(output: OutputFolder) -> int:
    """Print what the folder holds, and return the exit status."""
    parts = output.manifest.finished.values()
    images, errors = (sum(getattr(part, name) for part in parts) for name in ("rows", "errors"))
    print(f"{output.path}: {counted(images, 'image')} in {counted(len(parts), 'partition')}")
    if errors:
        first = output.first_error()
        have = f"{counted(errors, 'image')} {'has' if errors == 1 else 'have'}"
        print(f"{COMMAND}: {have} an error in place of detections; the first: {first}", file=sys.stderr)
    return 1 if errors else 0
