r"""The command `detect-picture-network`: pictures of a trained network, as AlexNet's paper has them (Figures 3 and 4).

detect-picture-network filters --weights FILE --output filters.png
detect-picture-network predictions photo.jpg ... --weights FILE --output predictions.png --truth goldfish ...
detect-picture-network neighbours photo.jpg ... --weights FILE --output neighbours.png \
    --dataset detection.datasets.TinyImageNet --data FOLDER --split train --limit 5000

`filters` shows the filters of the first layer, `predictions` shows images with bars for their likeliest classes, and
`neighbours` shows images beside those images of a data set whose last hidden layer is nearest to theirs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from tqdm import tqdm

from classifier.scoring.description import find_weights
from classifier.scoring.weights_file import load_weights
from classifier.whole_images.classification import average_probabilities, best_classes
from classifier.whole_images.crops import cut_crops, evaluation_crops
from classifier.whole_images.image_classifier import ImageClassifier
from classifier.whole_images.neighbours import nearest_neighbours
from detection.errors import InputError
from detection.image import read_image
from detection.structures.arrays import FloatArray, Image
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import add_device_option, add_limit_option, add_split_options, evenly_spaced
from tools.command.output_file import KINDS, PICTURE, OutputFile, add_overwrite_option, prepare_output
from tools.command.picture_file import save_figure, save_picture

TOP = 5
CROPS = 10
"""The number of crops that AlexNet's predictions are averaged over."""
IMAGES_AT_ONCE = 64
MOST_ROWS = 100
"""The largest number of images in a picture; with more it would be too tall to open."""
CELL = 64
"""The approximate side of an enlarged filter, in pixels."""
GAP = 4
"""The width of the white lines between filters, in pixels."""


def build_parser() -> OptionParser:
    """Return the parser of the options of all pictures."""
    parser = OptionParser(prog="detect-picture-network", description="Draw what a network has learned.")
    pictures = parser.add_subcommands(dest="picture")
    filters = OptionParser(description="Draw the filters of the first layer.")
    predictions = OptionParser(description="Draw images with their five likeliest classes.")
    predictions.add_argument("images", nargs="+", type=str, help="image files")
    predictions.add_argument("--truth", nargs="+", type=str, default=[], help="the true class of each image")
    neighbours = OptionParser(description="Draw images with their nearest neighbours in the last hidden layer.")
    neighbours.add_argument("images", nargs="+", type=str, help="image files whose neighbours are searched")
    add_split_options(neighbours)
    add_limit_option(neighbours)
    neighbours.add_argument("--count", type=PositiveInt, default=6, help="number of neighbours of each image")
    for name, subparser in (("filters", filters), ("predictions", predictions), ("neighbours", neighbours)):
        subparser.add_argument("--weights", type=str, required=True, help="weights file, or name of a shipped one")
        subparser.add_argument("--output", type=str, required=True, help="PNG file to write")
        add_overwrite_option(subparser)
        if subparser is not filters:
            add_device_option(subparser)
        pictures.add_subcommand(name, subparser, help=subparser.description)
    return parser


@command("detect-picture-network")
def main(arguments: Sequence[str]) -> None:
    """Draw one picture."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    output = prepare_picture(settings[settings.picture], settings.picture)
    draw = {"filters": picture_filters, "predictions": picture_predictions, "neighbours": picture_neighbours}
    draw[settings.picture](parser.instantiate(settings)[settings.picture], output)
    print(output.summary)


def prepare_picture(settings: Namespace, picture: str) -> OutputFile:
    """Return the file to draw in, which is checked before anything is read; raises what `prepare_output` raises."""
    kind = PICTURE if picture == "filters" else KINDS["plot"]  # matplotlib draws the others
    return prepare_output(settings, "output", kind, f"detect-picture-network {picture}")


def picture_filters(settings: Namespace, output: OutputFile) -> None:
    """Draw the first layer's filters as they were trained, before batch normalisation is folded into them."""
    path = find_weights(settings.weights)
    try:
        filters = first_filters(load_weights(path)[0])
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    save_picture(PIL.Image.fromarray(draw_filters(filters)), output)


def first_filters(network: nn.Module) -> FloatArray:
    """Return the weights of the first convolution: [F, 3, k, k], centred on zero.

    Raises:
        ValueError: if there is no convolution, or it does not read three colours.
    """
    convolution = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if convolution is None or convolution.in_channels != 3:
        raise ValueError(f"expected a network that begins with a convolution of RGB, got {convolution}")
    weights: FloatArray = convolution.weight.detach().cpu().float().numpy()
    return weights


def draw_filters(filters: FloatArray) -> Image:
    """Draw the filters [F, 3, k, k] in a grid on white, each stretched to the range 0-255.

    A filter whose values are all equal is grey.
    """
    count, _, side, _ = filters.shape
    low = filters.min(axis=(1, 2, 3), keepdims=True)
    span = filters.max(axis=(1, 2, 3), keepdims=True) - low
    shares = np.divide(filters - low, span, out=np.full_like(filters, 0.5), where=span > 0)
    zoom = max(1, CELL // side)
    cells = (shares * 255).round().astype(np.uint8).transpose(0, 2, 3, 1).repeat(zoom, axis=1).repeat(zoom, axis=2)
    columns = math.ceil(math.sqrt(count))
    step = side * zoom + GAP
    grid = np.full((math.ceil(count / columns) * step + GAP, columns * step + GAP, 3), 255, np.uint8)
    for index, cell in enumerate(cells):
        top, left = (GAP + place * step for place in divmod(index, columns))
        grid[top : top + side * zoom, left : left + side * zoom] = cell
    return grid


def picture_predictions(settings: Namespace, output: OutputFile) -> None:
    """Draw images with bars for their likeliest classes, and mark the true classes."""
    classifier = open_classifier(settings)
    truths = check_truths(settings.truth, classifier, image_count=len(settings.images))
    from tools.report.classification_plots import Prediction, draw_predictions  # noqa: PLC0415  matplotlib is optional

    predictions = []
    for path, truth in zip(settings.images, truths, strict=True):
        image = read_image(path)
        probabilities = average_probabilities([classifier], [image], [CROPS])[0, 0, 0]
        best = best_classes(probabilities, TOP)
        names = [classifier.class_names[index] for index in best]
        predictions.append(Prediction(Path(path).name, image, names, probabilities[best].tolist(), truth))
    save_figure(draw_predictions(predictions), output)


def open_classifier(settings: Namespace) -> ImageClassifier:
    """Load the network of a picture that has a row for each image.

    Raises:
        InputError: if there are more than `MOST_ROWS` images, or the weights cannot be used.
    """
    if len(settings.images) > MOST_ROWS:
        raise InputError(f"expected at most {MOST_ROWS} images, a row each, got {len(settings.images)}")
    return ImageClassifier(settings.weights, device=settings.device)


def check_truths(truths: Sequence[str], classifier: ImageClassifier, *, image_count: int) -> Sequence[str | None]:
    """Return the true class of each image, or None for all images if no classes were given.

    Raises:
        InputError: if there is not one for each image, or one is no class of the network.
    """
    if not truths:
        return [None] * image_count
    if len(truths) != image_count:
        raise InputError(f"--truth: expected a class for each of the {image_count} images, got {len(truths)}")
    for name in truths:
        if name not in classifier.class_names:
            raise InputError(f"--truth: expected classes of {classifier.path}, got '{name}'")
    return truths


def picture_neighbours(settings: Namespace, output: OutputFile) -> None:
    """Draw each query beside the nearest images of the split, from which the queries themselves are left out."""
    classifier = open_classifier(settings)
    queries = [Path(name) for name in settings.images]
    query_features = image_features(classifier, queries)
    query_paths = {path.resolve() for path in queries}
    labelled = evenly_spaced(settings.dataset.read_labels(settings.split), settings.limit)
    others = [image for image in labelled if image.path.resolve() not in query_paths]
    if not others:
        raise InputError(f"split '{settings.split}': expected images besides the given ones, found none")
    features = image_features(classifier, [image.path for image in others])
    indices, distances = nearest_neighbours(query_features, features, settings.count)
    from tools.report.classification_plots import NeighbourRow, draw_neighbours  # noqa: PLC0415  matplotlib is optional

    rows = []
    for path, nearest, lengths in zip(queries, indices.tolist(), distances.tolist(), strict=True):
        images = [read_image(others[index].path) for index in nearest]
        names = [settings.dataset.class_names[others[index].label] for index in nearest]
        rows.append(NeighbourRow(path.name, read_image(path), images, names, lengths))
    save_figure(draw_neighbours(rows), output)


def image_features(classifier: ImageClassifier, paths: Sequence[Path]) -> Tensor:
    """Return the last hidden layer for the central crop of each image: float32 [N, F] on the CPU."""
    features = []
    for start in tqdm(range(0, len(paths), IMAGES_AT_ONCE), unit="batch", disable=None):
        crops = []
        for image in map(read_image, paths[start : start + IMAGES_AT_ONCE]):
            windows = evaluation_crops((image.shape[0], image.shape[1]), 1)
            crops.append(cut_crops(image, windows, size=classifier.input_size, device=classifier.device))
        features.append(classifier.features(torch.cat(crops)).cpu())
    return torch.cat(features)


if __name__ == "__main__":
    sys.exit(main())
