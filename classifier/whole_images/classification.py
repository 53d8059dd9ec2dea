"""Classification as the ImageNet challenge measures it: averages over networks and crops, top-k error, confusions."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from classifier.whole_images.crops import cut_crops, evaluation_crops
from classifier.whole_images.image_classifier import ImageClassifier
from detection.structures.arrays import FloatArray, Image, IntArray


def average_probabilities(
    classifiers: Sequence[ImageClassifier], images: Sequence[Image], counts: Sequence[int]
) -> FloatArray:
    """Return the mean class probabilities for each number of models and of crops.

    All classifiers score the same crops, and each crop once, although it is part of several means.

    Returns:
        float32 [M, K, B, C] for M models, K counts, B images and C classes. Entry [m, k] is the mean of the softmax
        over the first m + 1 classifiers and `counts[k]` crops: the axes of Table 3 in GoogLeNet's paper (arXiv
        1409.4842).

    Raises:
        ValueError: if there are no classifiers, images or counts, a count has no set of test crops, or the classifiers
            differ in their number of classes.
    """
    if not (classifiers and images and counts):
        raise ValueError(
            f"expected classifiers, images and counts, got {len(classifiers)}, {len(images)} and {len(counts)}"
        )
    all_crops = [evaluation_crops((image.shape[0], image.shape[1]), max(counts)) for image in images]
    crops, positions = zip(*(image_crops.distinct() for image_crops in all_crops), strict=True)
    inputs: dict[tuple[int, torch.device], Tensor] = {}
    means_by_model = []
    for classifier in classifiers:
        size, device = key = classifier.input_size, classifier.device
        if key not in inputs:
            pairs = zip(images, crops, strict=True)
            inputs[key] = torch.cat([cut_crops(*pair, size=size, device=device) for pair in pairs])
        scores = classifier.probabilities(inputs[key]).cpu().split([len(image_crops.boxes) for image_crops in crops])
        by_crop = torch.stack([part[place] for part, place in zip(scores, positions, strict=True)])  # [B, crops, C]
        means_by_model.append(torch.stack([by_crop[:, :count].mean(dim=1) for count in counts]))  # [K, B, C]
    sums = accumulate(means_by_model)
    return np.stack([(total / count).numpy() for count, total in enumerate(sums, start=1)])


def best_classes(probabilities: FloatArray, count: int) -> IntArray:
    """Return the `count` most likely classes, best first: [..., C] -> [..., count]. Ties keep their order."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    return order[..., :count].astype(np.int64)


def top_k_error(best: IntArray, labels: IntArray, k: int) -> float:
    """Return the share of images, 0-1, whose label is not among the first k `best` classes; nan without images.

    Args:
        best: [N, at least k] classes of each image, best first.
        labels: [N] true classes.
        k: number of classes that count.

    Raises:
        ValueError: if the arrays do not fit each other, or k is not positive.
    """
    if best.ndim != 2 or labels.shape != best.shape[:1] or k < 1:
        raise ValueError(f"expected classes [N, k], labels [N] and k > 0, got {best.shape}, {labels.shape} and {k}")
    if not len(labels):
        return float("nan")
    return float((best[:, :k] != labels[:, None]).all(axis=1).mean())


def confusion_counts(predicted: IntArray, labels: IntArray, num_classes: int) -> IntArray:
    """Return the confusion matrix [C, C]: the number of images of each class (row) by predicted class (column).

    Raises:
        ValueError: if the arrays are not both [N], or hold a class outside of 0 to `num_classes` - 1.
    """
    if predicted.ndim != 1 or predicted.shape != labels.shape:
        raise ValueError(f"expected two arrays [N], got {predicted.shape} and {labels.shape}")
    both = np.concatenate([predicted, labels])
    if len(both) and not 0 <= both.min() <= both.max() < num_classes:
        raise ValueError(f"expected classes of 0 to {num_classes - 1}, got {both.min()} to {both.max()}")
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def worst_confusions(counts: IntArray, limit: int) -> list[tuple[int, int, int]]:
    """Return the most frequent confusions, at most `limit`, as (true class, predicted class, number of images)."""
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = np.column_stack(np.unravel_index(order, wrong.shape)).tolist()
    return [(label, other, int(wrong[label, other])) for label, other in pairs if wrong[label, other]]
