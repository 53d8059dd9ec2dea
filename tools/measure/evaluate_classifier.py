r"""Measure classifiers of whole images: top-1 and top-5 error by number of models and crops, and what is confused.

python -m tools.evaluate_classifier --weights a.safetensors b.safetensors --dataset detection.datasets.TinyImageNet \
    --data FOLDER --split val --crops 1 10 144

The grid is that of Table 3 in GoogLeNet's paper (arXiv 1409.4842): the first model, the first two, up to all of them,
each with all crop counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveInt
from tqdm import tqdm

from classifier.whole_images.classification import (
    average_probabilities,
    best_classes,
    confusion_counts,
    top_k_error,
    worst_confusions,
)
from classifier.whole_images.image_classifier import ImageClassifier, require_same_classes
from detection.datasets import DataSet, LabelledImage
from detection.errors import InputError
from detection.image import read_image
from detection.structures.arrays import IntArray
from tools.command.output_file import prepare_output, prepare_plot
from tools.command.split_options import add_limit_option, add_split_options, evenly_spaced
from tools.report.text_table import format_table

TOP = 5
"""Answers that the challenge allows for an image."""

CropCount = Literal[1, 10, 144]


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="python -m tools.evaluate_classifier", description="Measure classifiers of images.")
    parser.add_argument("--weights", nargs="+", type=str, required=True, help="files, or names of shipped ones")
    add_split_options(parser)
    add_limit_option(parser)
    parser.add_argument("--crops", nargs="+", type=CropCount, default=[1], help="of each image, averaged")
    parser.add_argument("--confusions", type=NonNegativeInt, default=10, help="pairs of classes to list")
    parser.add_argument("--json", type=str | None, default=None, help="file for the errors and confusions")
    parser.add_argument("--plot", type=str | None, default=None, help="PNG file for a plot of the errors")
    parser.add_argument(
        "--device", type=str | None, default=None, help="cpu, cuda, ...; default: a GPU if there is one"
    )
    parser.add_argument("--batch_size", type=PositiveInt, default=64, help="crops that pass through a network at once")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, and return the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        json_file = prepare_output(settings.json) if settings.json is not None else None
        plot_file = prepare_plot(settings.plot) if settings.plot is not None else None
        dataset = parser.instantiate(settings).dataset
        classifiers = load_classifiers(settings, dataset)
        images = evenly_spaced(dataset.read_labels(settings.split), settings.limit)
        if not images:
            raise InputError(f"{settings.data}: expected images in split '{settings.split}', found none")
        counts = sorted(set(settings.crops))
        best = rank_classes(classifiers, images, counts, batch_size=settings.batch_size)
    except InputError as error:
        print(f"evaluate_classifier: {error.line}", file=sys.stderr)
        return 1
    labels = np.array([image.label for image in images])
    report = {
        "weights": [str(classifier.path) for classifier in classifiers],
        "split": settings.split,
        "images": len(images),
        "errors": error_grid(best, labels, counts),
        "confusions": confusions(best[-1, -1, :, 0], labels, dataset.class_names, limit=settings.confusions),
    }
    print(format_report(report))
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if plot_file is not None:
        plot_errors(report["errors"], plot_file)
    return 0


def load_classifiers(settings: Any, dataset: DataSet) -> list[ImageClassifier]:
    """The networks of all weights files, which have to know the same classes as each other and as the data set.

    Raises:
        InputError: if they do not, or a file cannot be used.
    """
    classifiers = [
        ImageClassifier(name, device=settings.device, batch_size=settings.batch_size) for name in settings.weights
    ]
    first = classifiers[0]
    for other in classifiers[1:]:
        require_same_classes(str(other.path), other.class_names, str(first.path), first.class_names)
    require_same_classes(str(first.path), first.class_names, f"{settings.data}", dataset.class_names)
    return classifiers


def rank_classes(
    classifiers: Sequence[ImageClassifier], images: Sequence[LabelledImage], counts: Sequence[int], *, batch_size: int
) -> IntArray:
    """The five likeliest classes by models, crop counts and images: [M, K, N, 5]; fewer where there are fewer classes.

    Images are read once, as many at a time as fill a batch, and nothing but these classes is kept of them.
    """
    at_once = max(1, batch_size // max(counts))
    found = []
    with tqdm(total=len(images), unit="image", disable=None) as progress:
        for start in range(0, len(images), at_once):
            group = [read_image(image.path) for image in images[start : start + at_once]]
            found.append(best_classes(average_probabilities(classifiers, group, counts), TOP))
            progress.update(len(group))
    return np.concatenate(found, axis=2)


def error_grid(best: IntArray, labels: IntArray, counts: Sequence[int]) -> list[dict[str, Any]]:
    """Errors by models and crops from `rank_classes` [M, K, N, 5], in the order of Table 3."""
    return [
        {
            "models": models,
            "crops": count,
            "top1_error": top_k_error(of_count, labels, 1),
            "top5_error": top_k_error(of_count, labels, TOP),
        }
        for models, of_models in enumerate(best, start=1)
        for count, of_count in zip(counts, of_models, strict=True)
    ]


def confusions(
    predicted: IntArray, labels: IntArray, class_names: Sequence[str], *, limit: int
) -> list[dict[str, Any]]:
    """The pairs of classes most often confused; `share` is that of the `class_images` of the true class, 0-1."""
    counts = confusion_counts(predicted, labels, len(class_names))
    totals = counts.sum(axis=1).tolist()
    return [
        {
            "class": class_names[label],
            "taken_for": class_names[other],
            "images": images,
            "class_images": totals[label],
            "share": images / totals[label],
        }
        for label, other, images in worst_confusions(counts, limit)
    ]


def format_report(report: dict[str, Any]) -> str:
    """What the tool prints: the grid, then the confusions of all models with the most crops."""
    lines = [f"{report['images']} images of {report['split']}", "models  crops  top-1 error  top-5 error"]
    lines += [
        f"{row['models']:6}  {row['crops']:5}  {row['top1_error']:11.2%}  {row['top5_error']:11.2%}"
        for row in report["errors"]
    ]
    if report["confusions"]:
        rows = [  # with both counts, as a share of few images says little
            [f"{row['class']} taken for {row['taken_for']}", f"{row['images']} of {row['class_images']}",
             f"{row['share']:.0%}"]
            for row in report["confusions"]
        ]  # fmt: skip
        lines += ["", format_table([["most often confused", "images", "share"], *rows])]
    return "\n".join(lines)


def plot_errors(errors: list[dict[str, Any]], path: Path) -> None:
    """Write the grid as a picture."""
    from tools.report.classification_plots import draw_errors  # noqa: PLC0415  matplotlib is slow to import, and optional

    draw_errors(errors).savefig(path)


if __name__ == "__main__":
    sys.exit(main())
