"""Make the proposals of a split once, for training and measuring to read.

detect-propose --config tiny_imagenet.yaml --data FOLDER --split train --output runs/train.proposals

A run that was interrupted goes on where it stood when it is started again; one that is done adds only the images that
are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from jsonargparse import ArgumentParser, Namespace
from torch.utils.data import Dataset
from tqdm import tqdm

from detection.errors import InputError
from detection.structures.contracts import Proposals, Proposer
from detection.structures.ground_truth import GroundTruth
from proposals.cache.writer import CacheWriter
from tools.command.entry_point import command
from tools.command.experiment import add_experiment_options
from tools.command.image_proposals import cache_settings, one_by_one, propose_file
from tools.command.options import add_limit_option, evenly_spaced
from tools.command.output_file import prepare_output


class ProposedImage(NamedTuple):
    """Proposals of an image of `size` (height, width), or what went wrong with it."""

    record: GroundTruth
    size: tuple[int, int]
    proposals: Proposals | InputError


class ProposedSplit(Dataset[ProposedImage]):
    """Proposals of each image, made in the loader's processes."""

    def __init__(self, records: Sequence[GroundTruth], propose: Proposer) -> None:
        self.records = records
        self.propose = propose

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> ProposedImage:
        record = self.records[index]
        try:
            return ProposedImage(record, *propose_file(record, self.propose))
        except InputError as error:
            return ProposedImage(record, (0, 0), error)


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="detect-propose", description="Make the proposals of a split.")
    add_experiment_options(parser, detector_required=False)
    parser.add_argument("--split", type=str, default="train", help="train, val, ...")
    add_limit_option(parser)
    return parser


@command("detect-propose")
def main(arguments: Sequence[str]) -> int:
    """Fill the cache `--output`; returns the exit status, 1 if an image had to be left out."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    faults = fill_cache(settings, parser)
    if faults:
        print(f"detect-propose: {len(faults)} image{'' if len(faults) == 1 else 's'} left out:", file=sys.stderr)
        print("\n".join(fault.line for fault in faults), file=sys.stderr)
    return 1 if faults else 0


def fill_cache(settings: Namespace, parser: ArgumentParser) -> list[InputError]:
    """Add the images of the split that are not in the cache yet; returns what is wrong with those left out."""
    settings.detector.pop("classify")  # it may name weights that are only now being made
    if settings.detector.propose is None:
        raise InputError("detector.propose: expected a proposer in the file of --config, got none")
    path = prepare_output(settings.output, suffix=".proposals")
    writer = CacheWriter(path, cache_settings(settings, settings.detector.propose) | {"split": settings.split})
    built = parser.instantiate(settings)
    records = evenly_spaced(built.dataset.read(settings.split), settings.limit)
    missing = writer.missing(records)
    if writer.finished and not missing:
        print(f"{path}: has the proposals of all {len(records)} images already")
        return []
    split = ProposedSplit(missing, built.detector.propose)
    with writer:
        faults = add_all(writer, split, of=len(records), workers=settings.workers)
        writer.finish()
    print(f"{path}: {len(writer)} images, {writer.box_count / max(1, len(writer)):.1f} proposals an image")
    return faults


def add_all(writer: CacheWriter, split: ProposedSplit, *, of: int, workers: int) -> list[InputError]:
    """Make the proposals of a split and add them in its order, the last of `of` images.

    Returns what is wrong with the images that had to be left out.
    """
    faults: list[InputError] = []
    with tqdm(total=of, initial=of - len(split), unit="image", disable=None) as progress:
        for image in one_by_one(split, workers=workers):
            fault = add_image(writer, image)
            if fault is not None:
                tqdm.write(f"detect-propose: {fault.line}", file=sys.stderr)
                faults.append(fault)
            progress.update()
    return faults


def add_image(writer: CacheWriter, image: ProposedImage) -> InputError | None:
    """Add the proposals of an image; returns what is wrong if there are none, or they are none of this image."""
    if isinstance(image.proposals, InputError):
        return image.proposals
    try:
        writer.add(image.record, image.size, image.proposals)
    except ValueError as error:
        return InputError(f"{image.record.path}: {error}")
    return None


if __name__ == "__main__":
    sys.exit(main())
