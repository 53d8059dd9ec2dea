"""Make the proposals of a split once, for training and measuring to read.

python -m tools.propose --config configs/tiny_imagenet.yaml --data FOLDER --split train --output runs/train.proposals

A run that was interrupted goes on where it stood when it is started again; one that is done adds only the images that
are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from jsonargparse import ArgumentParser, Namespace
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from detection.contracts import Proposals, Proposer
from detection.errors import InputError
from detection.ground_truth import GroundTruth
from detection.image import read_image
from proposals.cache_writer import CacheWriter
from tools.experiment import add_experiment_options
from tools.image_proposals import cache_settings, use_one_thread
from tools.output_file import prepare_output
from tools.split_options import add_limit_option, evenly_spaced

PREFETCHED = 16
"""Images that each process may be ahead, so that none waits for another that has a large one."""


class ProposedImage(NamedTuple):
    """Proposals of an image of `size` (height, width), or what is wrong with its file."""

    image_id: str
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
            image = read_image(record.path)
        except InputError as error:
            return ProposedImage(record.image_id, (0, 0), error)
        height, width = image.shape[:2]
        return ProposedImage(record.image_id, (height, width), self.propose(image))


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.propose", description="Make the proposals of a split.")
    add_experiment_options(parser, detector_required=False)
    parser.add_argument("--split", type=str, default="train", help="train, val, ...")
    add_limit_option(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Fill the cache `--output`; returns the exit status, 1 if an image is broken."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        faults = fill_cache(settings, parser)
    except InputError as error:
        print(f"propose: {error.line}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        print(
            f"propose: a process was killed, perhaps for want of memory: expected --workers {settings.workers} of them "
            "to live; run the command again to go on",
            file=sys.stderr,
        )
        return 1
    if faults:
        print(f"propose: {len(faults)} broken image{'' if len(faults) == 1 else 's'} left out:", file=sys.stderr)
        print("\n".join(fault.line for fault in faults), file=sys.stderr)
    return 1 if faults else 0


def fill_cache(settings: Namespace, parser: ArgumentParser) -> list[InputError]:
    """Add the images of the split that are not in the cache yet; returns what is wrong with those that are broken."""
    settings.detector.pop("classify")  # it may name weights that are only now being made
    if settings.detector.propose is None:
        raise InputError("detector.propose: expected a proposer in the file of --config, got none")
    path = prepare_output(settings.output, suffix=".proposals")
    writer = CacheWriter(path, cache_settings(settings, settings.detector.propose) | {"split": settings.split})
    built = parser.instantiate(settings)
    records = evenly_spaced(built.dataset.read(settings.split), settings.limit)
    missing = [record for record in records if record.image_id not in writer]
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
    """Make the proposals of a split and add them in its order, the last of `of` images; returns what is broken."""
    faults: list[InputError] = []
    loader = DataLoader(
        split,
        batch_size=1,
        collate_fn=list,
        num_workers=workers,
        worker_init_fn=use_one_thread,
        prefetch_factor=PREFETCHED if workers else None,
    )
    with tqdm(total=of, initial=of - len(split), unit="image", disable=None) as progress:
        for ((image_id, size, proposals),) in loader:
            if isinstance(proposals, InputError):
                tqdm.write(f"propose: {proposals.line}", file=sys.stderr)
                faults.append(proposals)
            else:
                writer.add(image_id, size, proposals)
            progress.update()
    return faults


if __name__ == "__main__":
    sys.exit(main())
