"""Compute the proposals of a split once and store them in a file, which training and evaluation read.

detect-propose --config tiny_imagenet.yaml --data FOLDER --split train --output runs/train.proposals
detect-propose --config tiny_imagenet.yaml --data FOLDER --output runs/train.proposals --engine ray --address auto

A run that was interrupted continues where it stopped when it is started again. A finished file only gets the proposals
of images that are missing in it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from detection.datasets.annotated_images import require_stated_sizes
from detection.errors import InputError
from detection.runtime.output_file import require_writable
from detection.training.progress import show_progress
from proposals.cache.writer import CacheWriter
from tools.bulk.ray_engine import require_ray
from tools.command.entry_point import command
from tools.command.experiment import add_detector_experiment_options, parse_experiment
from tools.command.image_proposals import cache_settings, one_by_one
from tools.command.option_parser import OptionParser
from tools.command.options import add_engine_options, add_limit_option, evenly_spaced, require_cluster
from tools.data.propose_on_cluster import propose_on_cluster
from tools.data.proposed_split import ProposalOutcome, ProposedSplit


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-propose", description="Make the proposals of a split.")
    add_detector_experiment_options(parser, detector_required=False)
    parser.add_argument("--split", type=str, default="train", help="name of the split: train, val, ...")
    add_limit_option(parser)
    add_engine_options(parser, "where to compute: --workers of this machine, or Ray with a worker for each core")
    return parser


@command("detect-propose")
def main(arguments: Sequence[str]) -> int:
    """Fill the cache `--output`, and return the exit status: 1 if an image was left out."""
    parser = build_parser()
    settings = parse_experiment(parser, arguments)
    require_cluster(settings, "address")
    if settings.engine == "ray":
        require_ray()
    faults = fill_cache(settings, parser)
    if faults:
        print(f"detect-propose: {len(faults)} image{'' if len(faults) == 1 else 's'} left out:", file=sys.stderr)
        print("\n".join(fault.line for fault in faults), file=sys.stderr)
    return 1 if faults else 0


def fill_cache(settings: Namespace, parser: ArgumentParser) -> list[InputError]:
    """Add the images of the split that are not in the cache yet, and return the errors of images that were left out."""
    settings.detector.pop("classify")  # it may name a weights file that does not exist yet
    if settings.detector.propose is None:
        raise InputError("detector.propose: expected a proposer in the file of --config, got none")
    path = Path(settings.output)
    if path.suffix != ".proposals":
        raise InputError(f"{path}: expected a name that ends in .proposals")
    require_writable(path)
    writer = CacheWriter(path, cache_settings(settings, settings.detector.propose) | {"split": settings.split})
    built = parser.instantiate(settings)
    records = evenly_spaced(built.dataset.read(settings.split), settings.limit)
    missing = writer.missing(records)
    require_stated_sizes(missing)
    if writer.finished and not missing:
        print(f"{path}: has the proposals of all {len(records)} images already")
        return []
    images: Generator[ProposalOutcome, None, None]
    if settings.engine == "ray":
        images = propose_on_cluster(missing, settings.detector.propose.as_dict(), settings.address)
    else:
        images = one_by_one(ProposedSplit(missing, built.detector.propose), workers=settings.workers)
    with writer, closing(images):
        faults = add_all(writer, images, missing=len(missing), total=len(records))
        writer.finish()
    print(f"{path}: {len(writer)} images, {writer.box_count / max(1, len(writer)):.1f} proposals per image")
    return faults


def add_all(writer: CacheWriter, images: Iterable[ProposalOutcome], *, missing: int, total: int) -> list[InputError]:
    """Add images to the cache in their order, and return the errors of those that were left out.

    Args:
        writer: the cache.
        images: those that are missing in the cache, with their proposals.
        missing: the number of them.
        total: the number of images with those that are already in the cache.
    """
    faults: list[InputError] = []
    with show_progress(total=total, initial=total - missing, desc="proposing", unit="images") as progress:
        for image in images:
            fault = add_image(writer, image)
            if fault is not None:
                tqdm.write(f"detect-propose: {fault.line}", file=sys.stderr)
                faults.append(fault)
            progress.update()
    return faults


def add_image(writer: CacheWriter, image: ProposalOutcome) -> InputError | None:
    """Add the proposals of an image; returns the error if there are no proposals, or they do not fit the image."""
    if isinstance(image.proposals, InputError):
        return image.proposals
    try:
        writer.add(image.record, image.size, image.proposals, image.file)
    except ValueError as error:
        return InputError(f"{image.record.path}: {error}")
    return None


if __name__ == "__main__":
    sys.exit(main())
