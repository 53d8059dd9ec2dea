"""Split of a set of images into two unequal parts, in which each class has about the same share of its objects."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from detection.structures.arrays import BoolArray, IntArray


def stratified_split(labels: Sequence[IntArray], *, share: float, seed: int) -> BoolArray:
    """Return True for the images of the smaller part: bool [N].

    The method is iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011): class by class, the rarest first,
    each image goes to the part that lacks more objects of the class. A class with one or two images is only in the
    larger part. Images without objects come last. From two images on, neither part is empty; and if two images have
    objects, each part has objects.

    Args:
        labels: the labels of the objects of each image, of length N.
        share: the share of the smaller part, above 0 and up to 0.5.
        seed: the seed of the random order of the images.

    Raises:
        ValueError: if the share is outside its range.
    """
    if not 0 < share <= 0.5:
        raise ValueError(f"share must be above 0 and up to 0.5, got {share}")
    counts = [Counter(image.tolist()) for image in labels]
    order = np.random.default_rng(seed).permutation(len(counts)).tolist()
    totals = Counter[int]()
    for image in counts:
        totals.update(image)
    smaller = _assign(counts, order, totals, share=share)
    with_objects = [image for image in order if counts[image]]
    if len(with_objects) > 1 and not smaller[with_objects].any():  # for example, if each image has a class of its own
        smaller[max(with_objects, key=lambda image: min(totals[label] for label in counts[image]))] = True
    elif len(counts) > 1 and not smaller.any():
        smaller[next(image for image in order if not counts[image])] = True
    return smaller


def _assign(counts: Sequence[Counter[int]], order: Sequence[int], totals: Counter[int], *, share: float) -> BoolArray:
    images_of_class: dict[int, list[int]] = {}
    for image in order:
        for label in counts[image]:
            images_of_class.setdefault(label, []).append(image)
    demands = [{label: part * total for label, total in totals.items()} for part in (1 - share, share)]
    sizes = [(1 - share) * len(counts), share * len(counts)]
    smaller = np.zeros(len(counts), np.bool_)
    done: set[int] = set()

    def put(image: int, part: int) -> None:
        smaller[image] = part == 1
        done.add(image)
        sizes[part] -= 1
        for label, count in counts[image].items():
            demands[part][label] -= count

    for label in sorted(images_of_class, key=lambda label: (len(images_of_class[label]), label)):
        for image in images_of_class[label]:
            if image not in done:
                put(image, int((demands[1][label], sizes[1]) > (demands[0][label], sizes[0])))
    for image in order:
        if image not in done:
            put(image, int(sizes[1] > sizes[0]))
    return smaller
