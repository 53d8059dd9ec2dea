r"""The command `detect-evaluate-classifier`: top-1 and top-5 errors of classifiers of whole images, and confusions.

detect-evaluate-classifier --weights a.safetensors b.safetensors --dataset detection.datasets.TinyImageNet \
    --data FOLDER --split val --crops 1 10 144

The table has the rows of Table 3 in GoogLeNet's paper (arXiv 1409.4842): the first model, the first two, and so on up
to all models, each with every number of crops. With --input_sizes, all rows are measured at each size of the input.

The classes of the data set may be categories of which the networks' classes are kinds, such as COCO's "cat" and
ImageNet's "tabby". --classes names a file that lists them, by name or by index; an answer is right if it is a kind of
the image's category, and images of categories without kinds are left out:

detect-evaluate-classifier --weights imagenet.safetensors --classes coco_to_imagenet.tsv --input_sizes 224 160 112 64 \
    --dataset detection.datasets.COCO --dataset.annotations annotations.json --dataset.images images \
    --data FOLDER --split all
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt
from tqdm import tqdm

from classifier.whole_images.classification import (
    average_probabilities,
    best_classes,
    confusion_counts,
    top_k_error,
    worst_confusions,
)
from classifier.whole_images.image_classifier import ImageClassifier
from detection.configuration import find_config
from detection.datasets import DataSet, LabelledImage
from detection.datasets.category_kinds import INDEX_HEADER, Kinds, KindsByCategory, read_kinds, read_kinds_by_index
from detection.datasets.files.text_file import read_lines
from detection.errors import InputError
from detection.image import read_image
from detection.structures.arrays import IntArray
from detection.structures.class_choice import require_same_classes
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import Side, add_device_option, add_limit_option, add_split_options, evenly_spaced
from tools.command.output_file import add_output_options, prepare_outputs
from tools.command.picture_file import save_figure
from tools.report.json_values import write_json
from tools.report.text_table import format_table

TOP = 5
"""The number of answers for an image that the challenge allows."""

CropCount = Literal[1, 10, 144]


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-evaluate-classifier", description="Measure classifiers of whole images.")
    parser.add_argument("--weights", nargs="+", type=str, required=True, help="weights files, or names of shipped ones")
    add_split_options(parser)
    add_limit_option(parser)
    parser.add_argument("--crops", nargs="+", type=CropCount, default=[1], help="numbers of crops to average over")
    parser.add_argument("--input_sizes", nargs="+", type=Side, help="sides of the networks' input; default: their own")
    parser.add_argument("--classes", type=str | None, help="file of kinds of categories; default: the same classes")
    parser.add_argument("--confusions", type=NonNegativeInt, default=10, help="number of pairs of classes to list")
    add_output_options(parser, "json", "plot")
    add_device_option(parser)
    parser.add_argument("--batch_size", type=PositiveInt, default=64, help="crops that pass through a network at once")
    return parser


@command("detect-evaluate-classifier")
def main(arguments: Sequence[str]) -> None:
    """Measure all combinations, print the tables, and write them."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    json_file, plot_file = prepare_outputs(parser, settings, "json", "plot")
    dataset = parser.instantiate(settings).dataset
    classifiers = load_classifiers(settings)
    kinds = find_kinds(settings, dataset, classifiers[0])
    labelled = [image for image in dataset.read_labels(settings.split) if kinds is None or image.label in kinds]
    images = evenly_spaced(labelled, settings.limit)
    if not images:
        raise InputError(f"{settings.data}: expected images in split '{settings.split}', found none")
    counts = sorted(set(settings.crops))
    labels = np.array([image.label for image in images])
    errors = []
    for size in settings.input_sizes or [None]:
        for classifier in classifiers:
            classifier.input_size = size or classifier.description.input_size
        best = rank_classes(classifiers, images, counts, batch_size=settings.batch_size)
        if kinds is not None:
            best = as_categories(best, labels, kinds)
        errors += error_grid(best, labels, counts, input_size=classifiers[0].input_size)
    report = {
        "weights": [str(classifier.path) for classifier in classifiers],
        "split": settings.split,
        "images": len(images),
        "errors": errors,
        # Of a kind of another category it is not known which one is meant, so only equal classes have confusions.
        "confusions": []
        if kinds is not None
        else confusions(best[-1, -1, :, 0], labels, dataset.class_names, limit=settings.confusions),
    }
    print(format_report(report))
    write_json(json_file, report)
    if plot_file is not None:
        from tools.report.classification_plots import draw_errors  # noqa: PLC0415  matplotlib is slow and optional

        first = [row for row in errors if row["input_size"] == errors[0]["input_size"]]
        save_figure(draw_errors(first), plot_file)


def load_classifiers(settings: Namespace) -> list[ImageClassifier]:
    """Load the networks, which have to have the same classes.

    Raises:
        InputError: if a network has other classes, or a file cannot be used.
    """
    classifiers = [
        ImageClassifier(name, device=settings.device, batch_size=settings.batch_size) for name in settings.weights
    ]
    first = classifiers[0]
    for other in classifiers[1:]:
        require_same_classes(str(other.path), other.class_names, str(first.path), first.class_names)
    return classifiers


def find_kinds(settings: Namespace, dataset: DataSet, classifier: ImageClassifier) -> KindsByCategory | None:
    """Return the classes that are kinds of each category of the data set, or None if both have the same classes.

    Raises:
        InputError: if the classes differ and no file was named, or the file cannot be used.
    """
    if settings.classes is not None:
        path = find_config(settings.classes)
        if INDEX_HEADER in read_lines(path, expected="a table of categories"):
            indices = read_kinds_by_index(path, dataset.class_names, outputs=len(classifier.class_names))
            return {label: Kinds(frozenset(kinds), complete=True) for label, kinds in indices.items()}
        return read_kinds(path, dataset.class_names, classifier.class_names)
    require_same_classes(str(classifier.path), classifier.class_names, settings.data, dataset.class_names)
    return None


def as_categories(best: IntArray, labels: IntArray, kinds: KindsByCategory) -> IntArray:
    """Return the label of each image in place of the classes [M, K, N, 5] that are kinds of it, and -1 for others."""
    by_image = [np.isin(best[:, :, row], list(kinds[label].labels)) for row, label in enumerate(labels.tolist())]
    return np.where(np.stack(by_image, axis=2), labels[:, None], -1)


def rank_classes(
    classifiers: Sequence[ImageClassifier], images: Sequence[LabelledImage], counts: Sequence[int], *, batch_size: int
) -> IntArray:
    """Return the likeliest classes [M, K, N, 5] for the first 1 to M models, K numbers of crops, and N images.

    The last axis is shorter if there are fewer than 5 classes. Each image is read once; as many images as fill a batch
    are in memory at a time.
    """
    at_once = max(1, batch_size // max(counts))
    ranked = []
    with tqdm(total=len(images), unit="image", disable=None) as progress:
        for start in range(0, len(images), at_once):
            group = [read_image(image.path) for image in images[start : start + at_once]]
            ranked.append(best_classes(average_probabilities(classifiers, group, counts), TOP))
            progress.update(len(group))
    return np.concatenate(ranked, axis=2)


def error_grid(best: IntArray, labels: IntArray, counts: Sequence[int], *, input_size: int) -> list[dict[str, Any]]:
    """Return the errors of each number of models and crops, from the classes [M, K, N, 5] of `rank_classes`."""
    return [
        {"input_size": input_size, "models": models, "crops": count}
        | {f"top{top}_error": top_k_error(ranked, labels, top) for top in (1, TOP)}
        for models, by_count in enumerate(best, start=1)
        for count, ranked in zip(counts, by_count, strict=True)
    ]


def confusions(
    predicted: IntArray, labels: IntArray, class_names: Sequence[str], *, limit: int
) -> list[dict[str, Any]]:
    """Return the pairs of classes that are confused most often.

    `share` (0-1) is the share of the `class_images` of the true class that the network took for the other class.
    """
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
    """Return what the command prints: the errors, then the confusions of all models with the most crops."""
    grid = [["input", "models", "crops", "top-1 error", "top-5 error"]]
    for row in report["errors"]:
        numbers = [str(row[name]) for name in ("input_size", "models", "crops")]
        grid.append([*numbers, f"{row['top1_error']:.2%}", f"{row['top5_error']:.2%}"])
    lines = [f"{report['images']} images of {report['split']}", format_table(grid)]
    if report["confusions"]:
        rows = [  # with both counts, as a share of few images says little
            [f"{row['class']} taken for {row['taken_for']}", f"{row['images']} of {row['class_images']}",
             f"{row['share']:.0%}"]
            for row in report["confusions"]
        ]  # fmt: skip
        lines += ["", format_table([["most often confused", "images", "share"], *rows])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
