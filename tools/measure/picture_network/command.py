r"""Look at a trained network as AlexNet's paper (NIPS 2012, Figures 3 and 4) does.

python -m tools.picture_network filters --weights FILE --output filters.png
python -m tools.picture_network predictions photo.jpg ... --weights FILE --output predictions.png --truth goldfish ...
python -m tools.picture_network neighbours photo.jpg ... --weights FILE --output neighbours.png \
    --dataset detection.datasets.TinyImageNet --data FOLDER --split train --limit 5000
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import torch
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt
from torch import Tensor
from tqdm import tqdm

from classifier.scoring.weights_file import find_weights, load_weights
from classifier.whole_images.classification import average_probabilities, best_classes
from classifier.whole_images.crops import cut_crops, evaluation_crops
from classifier.whole_images.image_classifier import ImageClassifier
from classifier.whole_images.neighbours import nearest_neighbours
from detection.errors import InputError
from detection.image import read_image
from tools.command.output_file import prepare_output, prepare_plot
from tools.command.split_options import add_limit_option, add_split_options, evenly_spaced
from tools.measure.picture_network.filter_grid import draw_filters, first_filters

TOP = 5
CROPS = 10
"""Crops that the predictions are averaged over: AlexNet's."""
IMAGES_AT_ONCE = 64
MOST_ROWS = 100
"""Images in one picture; it would be too tall to open otherwise."""


def build_parser() -> ArgumentParser:
    """The options of all pictures."""
    parser = ArgumentParser(prog="python -m tools.picture_network", description="Draw what a network has learned.")
    pictures = parser.add_subcommands(dest="picture")
    filters = ArgumentParser(description="The filters of the first layer.")
    predictions = ArgumentParser(description="Images with their five likeliest classes.")
    predictions.add_argument("images", nargs="+", type=str, help="image files")
    predictions.add_argument("--truth", nargs="+", type=str, default=[], help="the class of each image")
    neighbours = ArgumentParser(description="Images with those that are most alike in the last hidden layer.")
    neighbours.add_argument("images", nargs="+", type=str, help="image files to find neighbours of")
    add_split_options(neighbours)
    add_limit_option(neighbours)
    neighbours.add_argument("--count", type=PositiveInt, default=6, help="neighbours of each image")
    for name, subparser in (("filters", filters), ("predictions", predictions), ("neighbours", neighbours)):
        subparser.add_argument("--weights", type=str, required=True, help="safetensors file, or name of a shipped one")
        subparser.add_argument("--output", type=str, required=True, help="PNG file to write")
        if subparser is not filters:
            subparser.add_argument("--device", type=str | None, default=None, help="default: a GPU if there is one")
        pictures.add_subcommand(name, subparser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Draw one picture; returns the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    draw = {"filters": picture_filters, "predictions": picture_predictions, "neighbours": picture_neighbours}
    try:
        draw[settings.picture](parser.instantiate(settings)[settings.picture])
    except InputError as error:
        print(f"picture_network: {error.line}", file=sys.stderr)
        return 1
    return 0


def picture_filters(settings: Namespace) -> None:
    """Write the first layer's filters as they were trained, before normalisation is folded into them."""
    output = prepare_output(settings.output, suffix=".png")
    path = find_weights(settings.weights)
    network, _ = load_weights(path)
    try:
        filters = first_filters(network)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    PIL.Image.fromarray(draw_filters(filters)).save(output)


def picture_predictions(settings: Namespace) -> None:
    """Write images with bars for their likeliest classes, and mark the true ones."""
    output = prepare_plot(settings.output)
    check_row_count(settings.images)
    classifier = ImageClassifier(settings.weights, device=settings.device)
    truths = check_truths(settings.truth, classifier, image_count=len(settings.images))
    from tools.report.classification_plots import Prediction, draw_predictions  # noqa: PLC0415  matplotlib is optional

    predictions = []
    for path, truth in zip(settings.images, truths, strict=True):
        image = read_image(path)
        probabilities = average_probabilities([classifier], [image], [CROPS])[0, 0, 0]
        best = best_classes(probabilities, TOP)
        names = [classifier.class_names[index] for index in best]
        predictions.append(Prediction(Path(path).name, image, names, probabilities[best].tolist(), truth))
    draw_predictions(predictions).savefig(output)


def check_row_count(images: Sequence[str]) -> None:
    """Refuse more images than a picture has room for.

    Raises:
        InputError: if there are more than `MOST_ROWS`.
    """
    if len(images) > MOST_ROWS:
        raise InputError(f"expected at most {MOST_ROWS} images, a row each, got {len(images)}")


def check_truths(truths: Sequence[str], classifier: ImageClassifier, *, image_count: int) -> Sequence[str | None]:
    """The true class of each image, None where none was given.

    Raises:
        InputError: if there are not as many as images, or one is no class of the network.
    """
    if not truths:
        return [None] * image_count
    if len(truths) != image_count:
        raise InputError(f"--truth: expected a class for each of the {image_count} images, got {len(truths)}")
    for name in truths:
        if name not in classifier.class_names:
            raise InputError(f"--truth: expected classes of {classifier.path}, got '{name}'")
    return truths


def picture_neighbours(settings: Namespace) -> None:
    """Write each query with the images of a data set's split nearest to it, the queries themselves left out."""
    output = prepare_plot(settings.output)
    check_row_count(settings.images)
    classifier = ImageClassifier(settings.weights, device=settings.device)
    queries = [Path(name) for name in settings.images]
    query_features = image_features(classifier, queries)
    own = {path.resolve() for path in queries}
    labelled = evenly_spaced(settings.dataset.read_labels(settings.split), settings.limit)
    others = [image for image in labelled if image.path.resolve() not in own]
    if not others:
        raise InputError(f"split '{settings.split}': expected images besides the given ones, found none")
    features = image_features(classifier, [image.path for image in others])
    indices, distances = nearest_neighbours(query_features, features, settings.count)
    from tools.report.classification_plots import NeighbourRow, draw_neighbours  # noqa: PLC0415  matplotlib is optional

    rows = []
    for path, of_query, lengths in zip(queries, indices.tolist(), distances.tolist(), strict=True):
        images = [read_image(others[index].path) for index in of_query]
        names = [settings.dataset.class_names[others[index].label] for index in of_query]
        rows.append(NeighbourRow(path.name, read_image(path), images, names, lengths))
    draw_neighbours(rows).savefig(output)


def image_features(classifier: ImageClassifier, paths: Sequence[Path]) -> Tensor:
    """The last hidden layer for the central crop of each image: float32 [N, F] on the CPU."""
    found = []
    for start in tqdm(range(0, len(paths), IMAGES_AT_ONCE), unit="batch", disable=None):
        images = [read_image(path) for path in paths[start : start + IMAGES_AT_ONCE]]
        crops = [
            cut_crops(
                image,
                evaluation_crops((image.shape[0], image.shape[1]), 1),
                size=classifier.input_size,
                device=classifier.device,
            )
            for image in images
        ]
        found.append(classifier.features(torch.cat(crops)).cpu())
    return torch.cat(found)
