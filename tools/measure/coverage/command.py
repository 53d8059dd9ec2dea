r"""Measure proposals: the share of the annotated objects that they find, by number of proposals, size and class.

detect-coverage --config coverage.yaml --data FOLDER --csv coverage.csv --plot coverage.png

compares the sources in the file, as the table of GoogLeNet's detector does (arXiv 1409.4842, section 8). Others are
added by name, each a file of `detect-propose`, or a YAML file with a section `propose` or `detector.propose`:

detect-coverage --dataset detection.datasets.TinyImageNet --data FOLDER --limit 500 \
    --sources.mine my_detector.yaml --sources.cached runs/val.proposals
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from tqdm import tqdm

from detection.datasets.annotated_images import require_stated_sizes
from detection.errors import InputError
from detection.structures.ground_truth import GroundTruth
from proposals.coverage import Coverage
from tools.command.entry_point import command
from tools.command.image_proposals import one_by_one
from tools.command.option_parser import OptionParser
from tools.command.options import Workers, add_config_option, add_limit_option, add_split_options, evenly_spaced
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.coverage.report import COLUMNS, CoverageReport, format_report, write_csv
from tools.measure.coverage.sources import ImageOverlaps, MeasuredImages, Source, open_source

COUNTS = [1, 10, 50, 100, 200, 500, 1000]


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-coverage", description="Measure which share of the objects proposals find.")
    add_config_option(parser)
    add_split_options(parser)
    add_limit_option(parser)
    parser.add_argument("--sources", type=dict[str, Any], required=True, help="proposer, its file, or a cache, by name")
    parser.add_argument("--counts", type=list[PositiveInt], default=COUNTS, help="numbers of proposals to measure at")
    add_output_options(parser, "csv", "plot")
    parser.add_argument("--workers", type=Workers, default=1, help="processes that make proposals")
    return parser


@command("detect-coverage")
def main(arguments: Sequence[str]) -> int:
    """Measure and print the tables; return the exit status, 1 if a source or an image was left out."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    csv_file, plot_file = prepare_outputs(parser, settings, "csv", "plot", columns=COLUMNS)
    described = settings.pop("sources")  # these are built one by one, because each may fail
    dataset = parser.instantiate(settings).dataset
    records = evenly_spaced(dataset.read(settings.split), settings.limit)
    require_stated_sizes(records)
    sources, faults = open_sources(described, settings, records)
    report = measure(records, sources, settings, dataset.class_names, faults)
    print(format_report(report))
    if csv_file is not None:
        write_csv(report, csv_file.path)
    if plot_file is not None:
        from tools.measure.coverage.plot import draw_coverage  # noqa: PLC0415  matplotlib is slow to import, and optional

        draw_coverage(report, plot_file)
    return 1 if faults else 0


def open_sources(
    described: dict[str, Any], settings: Namespace, records: Sequence[GroundTruth]
) -> tuple[list[Source], list[InputError]]:
    """Return the sources that can be used, and the errors of the others, which are also printed.

    Raises:
        InputError: if no source can be used.
    """
    sources: list[Source] = []
    faults: list[InputError] = []
    for name, source in described.items():
        try:
            sources.append(open_source(name, source, settings, records))
        except InputError as error:
            _report(error, "the source is left out", faults)
    if not sources:
        raise InputError(f"sources: expected one that can be used, got none of {len(described)}")
    return sources, faults


def measure(
    records: Sequence[GroundTruth],
    sources: Sequence[Source],
    settings: Namespace,
    class_names: Sequence[str],
    faults: list[InputError],
) -> CoverageReport:
    """Measure all sources in the images on which none of them fails; append the errors of other images to `faults`.

    Raises:
        InputError: if no image is left.
    """
    counts = sorted(set(settings.counts))
    measured: list[tuple[GroundTruth, ImageOverlaps]] = []
    images = one_by_one(MeasuredImages(records, sources, counts), workers=settings.workers)
    for record, image in zip(records, tqdm(images, total=len(records), unit="image", disable=None), strict=True):
        if isinstance(image, InputError):
            _report(image, "the image is left out", faults)
        else:
            measured.append((record, image))
    if not measured:
        raise InputError(f"{settings.data}: expected images in split '{settings.split}', got none that can be used")
    coverages = {
        source.name: Coverage(
            tuple(counts),
            np.concatenate([image.overlaps[row] for _, image in measured]),
            np.array([image.proposal_counts[row] for _, image in measured]),
        )
        for row, source in enumerate(sources)
    }
    objects = np.concatenate([record.boxes[~record.ignored] for record, _ in measured])
    labels = np.concatenate([record.labels[~record.ignored] for record, _ in measured])
    return CoverageReport(len(measured), objects, labels, tuple(class_names), coverages)


def _report(error: InputError, consequence: str, faults: list[InputError]) -> None:
    """Print an error, and append it to `faults`."""
    tqdm.write(f"detect-coverage: {error.line}; {consequence}", file=sys.stderr)
    faults.append(error)
