"""Make a GoogLeNet with batch normalisation from the published one, whose response normalisation int8 cannot compute.

detect-fold-response-norm --images FOLDER --weights imagenet.safetensors

The new network starts with the published weights (`classifier.training.initial_weights.batch_norm_start`). Then it
learns, from random crops of photographs without labels, to give the outputs of the published network: first the stem
alone, which is where the response normalisation was, then all layers.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jsonargparse import Namespace
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from classifier.googlenet import GoogLeNet
from classifier.scoring.weights_file import save_weights
from classifier.training.augmentation import NUMBERS, Augmentation, Distortions, distort
from classifier.training.initial_weights.batch_norm_start import with_batch_norm
from classifier.training.samples.crop_samples import sample_crop
from classifier.warp.crop import warp_regions
from classifier.warp.matrices import Interpolation
from detection.image import read_image
from detection.runtime.pixels import SCALE
from detection.sources.files import expand
from detection.structures.arrays import Image
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import Count, Seed, Side
from tools.command.output_file import WEIGHTS, add_overwrite_option, prepare_output
from tools.train.import_caffe import add_source_option, imagenet_description, load_source

CROP_AREA = (0.03, 1.0)
"""Share of a photograph that a crop takes; regions of a detector are smaller than the crops of a classifier."""

CROP_ASPECT = (0.5, 2.0)
"""Ratio of a crop's width to its height."""

COMPARED_BLOCKS = ("3b", "4c", "5b")
"""The inception modules whose outputs are compared, besides the logits."""

TEMPERATURE = 2.0
"""Logits are divided by this number before they are compared (Hinton et al., arXiv 1503.02531)."""

STEM_RATE, RATE = 1e-3, 2e-4
"""Highest learning rates of the stem alone, and of all layers."""

MOMENTS_CROPS = 256
"""Number of crops from which the first statistics of the normalisation are taken."""


def build_parser() -> OptionParser:
    """Return the parser of the command."""
    parser = OptionParser(prog="detect-fold-response-norm", description="Give Caffe's GoogLeNet batch normalisation.")
    add_source_option(parser)
    parser.add_argument("--images", type=str, required=True, help="folder of photographs, or a pattern such as 'a/**'")
    parser.add_argument("--weights", type=str, required=True, help="safetensors file to write")
    add_overwrite_option(parser)
    parser.add_argument("--input_size", type=Side, default=112, help="side of the network's input in pixels")
    parser.add_argument("--batch_size", type=Count, default=64, help="number of crops in a batch")
    parser.add_argument("--stem_steps", type=Count, default=250, help="number of steps for the stem alone")
    parser.add_argument("--steps", type=Count, default=300, help="number of steps for all layers after that")
    parser.add_argument("--seed", type=Seed, default=1, help="seed of the crops")
    return parser


@command("detect-fold-response-norm")
def main(arguments: Sequence[str]) -> None:
    """Make the network, train it, and write its weights."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    paths = expand(settings.images)
    settings.read = paths  # what the pattern stands for, none of which may be written to
    weights = prepare_output(settings, "weights", WEIGHTS, parser.prog)
    published, origin = load_source(settings.source)
    published = published.to(memory_format=torch.channels_last)
    batches = crops([read_image(path) for path in paths], settings)
    first = torch.cat([next(batches) for _ in range(-(-MOMENTS_CROPS // settings.batch_size))])
    network = with_batch_norm(published, first).to(memory_format=torch.channels_last)
    compare_stems = partial(stem_distance, network.stem, published)
    learn(network.stem, compare_stems, batches, steps=settings.stem_steps, rate=STEM_RATE)
    learn(network, partial(network_distance, network, published), batches, steps=settings.steps, rate=RATE)
    training = {"made_by": weights.made_by, "origin": origin, "seed": settings.seed}
    description = imagenet_description({"batch_norm": True}, training, input_size=settings.input_size)
    save_weights(weights.path, network, description)
    print(weights.summary)


def crops(photographs: Sequence[Image], settings: Namespace) -> Iterator[Tensor]:
    """Yield batches of random crops with random distortions [B, 3, S, S], without end."""
    generator = np.random.default_rng(settings.seed)
    augmentation = Augmentation(interpolations=(Interpolation.AREA,), photometric=0.3)
    while True:
        regions = []
        for index in generator.integers(len(photographs), size=settings.batch_size).tolist():
            image = photographs[index]
            box = sample_crop((image.shape[0], image.shape[1]), area=CROP_AREA, aspect=CROP_ASPECT, generator=generator)
            window = torch.from_numpy(box).view(1, 1, 4)
            regions.append(warp_regions(torch.from_numpy(image)[None], window, size=settings.input_size)[0])
        distortions = Distortions.join([augmentation.draw(generator.random((settings.batch_size, NUMBERS)))])
        images = distort(torch.cat(regions), distortions) * SCALE
        yield images.contiguous(memory_format=torch.channels_last)


def learn(
    layers: nn.Module, distance: Callable[[Tensor], Tensor], batches: Iterator[Tensor], *, steps: int, rate: float
) -> None:
    """Train `layers` for some steps to make the distance small that `distance` returns for a batch of images."""
    layers.train()
    optimiser = torch.optim.AdamW(layers.parameters(), rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    progress = tqdm(range(steps))
    for _ in progress:
        images = next(batches)
        with torch.autocast("cpu", torch.bfloat16):
            loss = distance(images)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
    layers.eval()


def stem_distance(stem: nn.Module, published: GoogLeNet, images: Tensor) -> Tensor:
    """Return the distance of the stem's output from that of the published stem, see `relative_distance`."""
    with torch.no_grad():
        expected = published.stem(published.scale(images)).float()
    return relative_distance(stem(images).float(), expected)


def network_distance(network: GoogLeNet, published: GoogLeNet, images: Tensor) -> Tensor:
    """Return the mean distance of the outputs of `COMPARED_BLOCKS` plus the divergence of the class probabilities."""
    maps = network.feature_maps(images)
    with torch.no_grad():
        expected = published.feature_maps(images)
        expected_logits = published.linear(published.average(expected["5b"])).float()
    distances = [relative_distance(maps[name].float(), expected[name].float()) for name in COMPARED_BLOCKS]
    logits = network.linear(network.average(maps["5b"])).float()
    divergence = functional.kl_div(
        functional.log_softmax(logits / TEMPERATURE, 1),
        functional.log_softmax(expected_logits / TEMPERATURE, 1),
        reduction="batchmean",
        log_target=True,
    )
    return torch.stack(distances).mean() + divergence


def relative_distance(features: Tensor, expected: Tensor) -> Tensor:
    """Return the mean squared difference of two tensors, as a share of the mean square of `expected`.

    The features are first multiplied by the number that brings them nearest, since the layers after them can undo it.
    """
    expected = expected / expected.square().mean().sqrt()
    scale = (features.detach() * expected).mean() / features.detach().square().mean()
    return (scale * features - expected).square().mean()


if __name__ == "__main__":
    sys.exit(main())
