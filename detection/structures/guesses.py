"""Guesses: what an image may show if no score reaches the threshold."""

from collections.abc import Sequence

import numpy as np

from detection.structures.arrays import FloatArray
from detection.structures.detections import Detections

GUESSES = 3
"""The largest number of guesses: detections below the score threshold, which are named if none reaches it."""

MIN_GUESS = 0.01
"""The lowest score of a guess."""


def find_guesses(boxes: FloatArray, scores: FloatArray, class_names: Sequence[str]) -> Detections | None:
    """Return the best region of each of the best `GUESSES` classes; None if no score reaches `MIN_GUESS`.

    Args:
        boxes: [N, C, 4], the boxes of N regions for each of C classes.
        scores: [N, C].
        class_names: the names of the C classes.
    """
    if not len(scores):
        return None
    best_scores = scores.max(axis=0)  # [C]
    labels = np.argsort(-best_scores, kind="stable")[:GUESSES]
    labels = labels[best_scores[labels] >= MIN_GUESS]
    rows = scores.argmax(axis=0)[labels]
    return Detections(boxes[rows, labels], best_scores[labels], labels, tuple(class_names)) if len(labels) else None
