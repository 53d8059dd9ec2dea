"""Add a grid to a trained network, which refines boxes from the last feature map of the network.

detect-train-box-grid --config photographs.yaml --data FOLDER --task.init_args.even_objects false \
    --weights everyday_2.safetensors --save grid.safetensors

The grid is `classifier.layers.box_grid.BoxGrid`, and `classifier.training.grid_fit` trains it. With `--box_grid`,
`detect-train fit` trains a grid together with the other layers of a network.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO, cast

import numpy as np
import torch
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from torch import Tensor
from tqdm import tqdm

from classifier.box_deltas import encode_boxes, mirror_deltas
from classifier.layers.box_grid import BoxGrid
from classifier.region_network import RegionNetwork
from classifier.scoring.description import find_weights
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.weights_file import load_region_network, save_weights
from classifier.training.box_loss import MIN_IOU, paired_iou
from classifier.training.grid_fit import MappedRegions, fit_grid
from classifier.training.samples.region_batch import RegionSample
from classifier.training.samples.region_samples import Samples
from classifier.training.tasks import Regions
from classifier.warp.crop import upload
from detection.errors import InputError
from detection.runtime.weights_files.tensor_file import Storage
from detection.structures.class_choice import require_same_classes
from detection.training.decoded_images import open_or_decode
from detection.training.sample_order import ResumableBatches
from tools.command.entry_point import command
from tools.command.experiment import add_detector_experiment_options, parse_experiment
from tools.command.image_proposals import open_cache
from tools.command.option_parser import OptionParser
from tools.command.output_file import WEIGHTS, add_overwrite_option, prepare_output

GRID = 7
"""Rows and columns of the grid by default, which is the size of the last map of a GoogLeNet with inputs of 224 px."""

IMAGES_AT_ONCE = 16
"""Number of images whose regions share the batches of the network."""


def build_parser() -> OptionParser:
    """Return the parser of the command."""
    parser = OptionParser(prog="detect-train-box-grid", description="Add a grid that refines boxes to a network.")
    kept = ("seed", "train_split", "task", "augmentation", "box_grid", "decoded_images")
    add_detector_experiment_options(parser, detector_required=False, keep=kept)
    parser.add_argument("--weights", type=str, required=True, help="safetensors file of the trained network")
    parser.add_argument("--save", type=str, required=True, help="safetensors file to write, with the grid")
    parser.add_argument(
        "--regions", type=PositiveInt, default=40_000, help="regions to learn from, with about 0.1 MB of disk for each"
    )
    parser.add_argument("--passes", type=PositiveInt, default=10, help="how often each region is seen")
    parser.add_argument("--stored_as", type=Storage, default="float16", help="number type of the weights in the file")
    add_overwrite_option(parser)
    return parser


@command("detect-train-box-grid")
def main(arguments: Sequence[str]) -> None:
    """Train the grid and write the file."""
    parser = build_parser()
    settings = parse_experiment(parser, arguments)
    target = prepare_output(settings, "save", WEIGHTS, parser.prog)
    source = find_weights(settings.weights)
    trained, old = load_region_network(source)
    grid = settings.box_grid or GRID
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            network = RegionNetwork(trained.trunk, box_classes=len(old.class_names), box_grid=grid)
        except ValueError as error:
            raise InputError(f"{source}: {error}") from None
    samples = read_samples(parser, settings, old.class_names)
    loaded = LoadedNetwork(str(source), device=None, precision=None, batch_size=None, tensors=True)
    # The maps fill gigabytes. A file without a name is gone as soon as the program ends, however it ends.
    with tempfile.TemporaryFile(dir=target.path.parent) as file:
        regions = map_regions(loaded, draw(samples), settings.regions, file)
        with tqdm(total=settings.passes, desc="passes", disable=None) as bar:

            def show(loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.3f}")
                bar.update()

            fit_grid(
                cast(BoxGrid, network.box_grid),
                regions,
                passes=settings.passes,
                seed=settings.seed,
                device=loaded.device,
                report=show,
            )
    chosen = {name: settings[name] for name in ("weights", "seed", "regions", "passes")}
    training = old.training | {"made_by": target.made_by, "box_grid": chosen}
    description = replace(old, box_regression=True, box_grid=grid, training=training)
    save_weights(target.path, network, description, stored_as=settings.stored_as)
    print(target.summary)


def read_samples(parser: OptionParser, settings: Namespace, class_names: Sequence[str]) -> Samples:
    """Return the samples of the training split, with foreground only.

    Raises:
        InputError: if the classes differ from those of the weights, or the task has no regions.
    """
    expected = f"{Regions.__module__}.{Regions.__name__}"
    if settings.task.class_path != expected:
        raise InputError(f"task: expected {expected}, got {settings.task.class_path}")
    settings["task.init_args.foreground_fraction"] = 1.0
    proposals = open_cache(settings, settings.pop("detector").propose)
    built = parser.instantiate(settings)
    require_same_classes(settings.weights, class_names, settings.data, built.dataset.class_names)
    samples: Samples = built.task.training_samples(
        built.dataset, settings.train_split, proposals=proposals, augmentation=built.augmentation, seed=settings.seed
    )
    samples.read_by(open_or_decode(settings.decoded_images, samples.files(), workers=settings.workers))
    return samples


def draw(samples: Samples) -> Iterator[list[RegionSample]]:
    """Yield the samples of `IMAGES_AT_ONCE` images at a time, without end: each epoch has all images in a new order."""
    step = 0
    batches = ResumableBatches(len(samples), batch_size=IMAGES_AT_ONCE, seed=samples.seed, steps_done=lambda: step)
    while True:
        for keys in batches:
            step += 1
            yield samples.__getitems__(keys)


def map_regions(
    network: LoadedNetwork, drawn: Iterator[list[RegionSample]], count: int, file: IO[bytes]
) -> MappedRegions:
    """Return the first `count` foreground regions of samples, with their feature maps, which are written to `file`.

    Args:
        network: computes the feature maps.
        drawn: the samples.
        count: number of regions.
        file: an empty file for the maps.
    """
    labels: list[Tensor] = []
    deltas: list[Tensor] = []
    done = 0
    with tqdm(total=count, desc="feature maps", unit="region", disable=None) as bar:
        while done < count:
            maps, classes, moves = _map_batch(network, next(drawn), count - done)
            file.write(maps.half().numpy().tobytes())
            labels.append(classes)
            deltas.append(moves)
            done += len(classes)
            bar.update(len(classes))
    file.flush()
    stored = np.memmap(file, np.float16, "r", shape=(count, *maps.shape[1:]))
    return MappedRegions(stored, torch.cat(labels).numpy(), torch.cat(deltas).numpy())


def _map_batch(network: LoadedNetwork, samples: Sequence[RegionSample], limit: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the maps, labels and deltas of the foreground regions of samples, at most `limit` of them."""
    boxes, labels, targets = (
        torch.from_numpy(np.concatenate(parts)) for parts in zip(*(sample.regions for sample in samples), strict=True)
    )
    mirrored = torch.from_numpy(np.concatenate([sample.distortions.mirrored for sample in samples]))
    rows = torch.nonzero((labels > 0) & (paired_iou(boxes, targets) >= MIN_IOU)).squeeze(1)[:limit]
    with network.session():
        inputs = network.input_format.warp(
            [upload(sample.image, sample.regions.boxes, network.device) for sample in samples]
        )
        flipped = mirrored.to(inputs.device)[:, None, None, None]
        inputs = torch.where(flipped, network.input_format.mirror(inputs), inputs)[rows.to(inputs.device)]
        maps = network.last_maps(inputs).cpu()
    deltas = encode_boxes(boxes[rows], targets[rows])
    return maps, labels[rows] - 1, torch.where(mirrored[rows, None], mirror_deltas(deltas), deltas)


if __name__ == "__main__":
    sys.exit(main())
