"""The detector: propose boxes, classify them, suppress duplicates."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from itertools import chain, islice
from numbers import Integral, Real
from typing import Literal, cast, overload

import numpy as np

from detection.calibration import mean_by_log_odds
from detection.runtime.parallel.many_images import ImageResult, detect_in_images, find_parallelism
from detection.sources.conversion import ImageInput, as_image, lasting_picture
from detection.sources.pictures import Sources, find_pictures, named_picture, value_picture
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import NMS_IOU_THRESHOLD, box_area, neighbour_confidence
from detection.structures.class_choice import find_labels
from detection.structures.contracts import (
    Calibration,
    Classifier,
    Proposals,
    Proposer,
    RegionScores,
    find_last_scores,
    find_probabilities,
    find_proposals,
    find_scores,
    require_scores,
)
from detection.structures.detections import Detections
from detection.structures.guesses import find_guesses
from detection.structures.suppression import Suppression, vote_for_detections

SCORE_THRESHOLD = 0.5
"""Our choice for showing results. Evaluation uses a lower threshold, so that it takes all scores into account."""

MAX_DETECTIONS = 100
"""The largest number of detections of an image in all classes together, as in COCO's rules; R-CNN limits each class."""

FINE_THRESHOLD = 0.1
"""The default `fine_threshold` (our choice; classifier/weights/everyday.md has figures)."""

BATCH = 16
"""The number of images that a stream takes from its sources before it yields the first one."""


@dataclass(eq=False)
class Detector:
    """Finds objects in an image: `detector("photo.jpg")`.

    Args:
        propose: finds boxes that may hold an object.
        classify: scores the boxes for each class.
        score_threshold: detections with a lower score are dropped, 0-1.
        nms_iou_threshold: if two detections of a class have an IoU above this, 0-1, the one with the lower score is
            dropped.
        max_detections: the largest number of detections in an image, at least 1; the best are kept.
        classes: the names of the classes to find; None for all.
        part_share: a detection is also dropped if at least this share of its area, 0-1, lies in a larger detection of
            its class with a higher score, because it often shows a part of the same object. None drops none of these.
        voting_iou: the box of a detection becomes the mean, weighted by scores, of all boxes of its class that have at
            least this IoU with it, 0-1; a box that is near several detections counts for the best of them only.
            Near-duplicates then improve the box. If boxes then overlap by more than `nms_iou_threshold`, the detections
            are suppressed again. None leaves the boxes as they are.
        coarse_share: the share, above 0 and at most 1, of the best proposals of an image that are scored first. Of the
            others, only those near a likely object are scored, see `fine_threshold`. 1 scores all proposals.
        fine_threshold: another proposal is scored if its `neighbour_confidence` is at least this, 0-1. That is the
            highest probability of a class of a proposal that was scored first, times the IoU with it.
        refine_share: the share of the way, 0-1, that the box of each detection moves at the end to the one to which the
            classifier refines it; see `refine`. 0 leaves the boxes as they are.
        rescore_share: the weight, 0-1, of the score that the classifier gives to the box of each detection at the end;
            the score so far has the rest; see `refine`. 0 leaves the scores as they are.
        calibrate: turns the classifier's probabilities into the scores of detections, to which `score_threshold` then
            applies; without it, the probabilities are the scores.

    Raises:
        ValueError: if a threshold or share lies outside 0-1, or `max_detections` is less than 1.
    """

    propose: Proposer
    classify: Classifier
    _: KW_ONLY
    score_threshold: float = SCORE_THRESHOLD
    nms_iou_threshold: float = NMS_IOU_THRESHOLD
    max_detections: int = MAX_DETECTIONS
    calibrate: Calibration | None = None
    part_share: float | None = None
    voting_iou: float | None = None
    coarse_share: float = 1.0
    fine_threshold: float = FINE_THRESHOLD
    refine_share: float = 0.0
    rescore_share: float = 0.0
    classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("part_share", "voting_iou") if getattr(self, name) is not None]
        shares = ("coarse_share", "fine_threshold", "refine_share", "rescore_share")
        for name in ("score_threshold", "nms_iou_threshold", *shares, *given):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= float(value) <= 1:
                raise ValueError(f"{name} must lie in 0-1, got {value}")
        if self.coarse_share == 0:
            raise ValueError("coarse_share must be above 0, got 0; without a first pass no box is scored")
        if not isinstance(self.max_detections, Integral) or self.max_detections < 1:
            raise ValueError(f"max_detections must be a whole number of at least 1, got {self.max_detections}")
        if self.classes is not None:
            self.classes = self.classes if isinstance(self.classes, str) else tuple(self.classes)
            find_labels(self.classes, self.class_names)  # raises an error for a wrong name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that can be found; labels are indices into them."""
        return self.classify.class_names

    @overload
    def __call__(self, image: ImageInput) -> Detections: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, image: Sequence[ImageInput]) -> list[Detections]: ...

    def __call__(self, image: ImageInput | Sequence[ImageInput]) -> Detections | list[Detections]:
        """Return the detections in one image, or in each image of a list.

        An image is a path or an address (`https://...`), the bytes of an image file, a file that is open in binary
        mode, a PIL image, an array uint8 [H, W, 3], or a tensor [3, H, W]; see `as_image`. The images of a list share
        the cores of the machine. `stream` also takes folders, archives and videos, and more images than fit into
        memory.

        Raises:
            InputError: naming the file, address or position in the list, if it is missing or not a readable image.
            ValueError: for a single array of another shape or type.
        """
        if isinstance(image, list | tuple):  # not `Sequence`, since a text and bytes are sequences too
            pictures = [value_picture(value, f"image {number}") for number, value in enumerate(image)]
            return [result.detections for result in self.stream(pictures)]
        pixels = named_picture(image).read() if isinstance(image, str) else as_image(cast("ImageInput", image))
        (detections,) = self.score([pixels], [find_proposals(self.propose, pixels)])
        return detections.in_picture(lasting_picture(image, pixels))

    def stream(
        self, sources: Sources, *, batch: int = BATCH, every: int = 1, errors: Literal["raise", "return"] = "raise"
    ) -> Generator[ImageResult, None, None]:
        """Yield the result of each image of any sources, in order, while the next images are in work.

        The memory is bounded: about `batch` images are in work or wait to be yielded.

        Args:
            sources: what the command `detect` takes, that is a file, folder, pattern, list, address, archive or video;
                or an image as `__call__` takes it; or an iterable of these, which may be endless.
            batch: the number of images that are taken from the sources before the first one is yielded, at least 1.
                With 1, each image is done when it is asked for.
            every: the step from a frame of a video to the next one that is taken.
            errors: "raise" raises the error of an image in its place, which ends the stream; "return" yields a result
                with this `error`, and goes on.

        Raises:
            InputError: naming the image, if it cannot be read and `errors` is "raise".
            DeviceError: if the GPU stopped responding.
            ValueError: if an argument is out of range.
        """
        if not all(isinstance(number, Integral) and number >= 1 for number in (batch, every)):
            raise ValueError(f"batch and every must be whole numbers of at least 1, got {batch} and {every}")
        if errors not in ("raise", "return"):
            raise ValueError(f"errors must be 'raise' or 'return', got {errors!r}")
        return self._stream(sources, batch=batch, every=every, raises=errors == "raise")

    def _stream(self, sources: Sources, *, batch: int, every: int, raises: bool) -> Generator[ImageResult, None, None]:
        pictures = find_pictures(sources, every=every)
        first = list(islice(pictures, batch))
        with closing(detect_in_images(chain(first, pictures), self, find_parallelism(len(first)))) as results:
            for result in results:
                if raises and result.error is not None:
                    raise result.error
                yield result

    def score(self, images: Sequence[Image], proposals: Sequence[Proposals]) -> list[Detections]:
        """Return the detections among the proposals of each image. The images share the classifier's batches.

        Single photos, folders of photos and evaluation all go through this method: classify, suppress, then refine.
        """
        boxes, scores = self.classify_regions(images, [image_proposals.boxes for image_proposals in proposals])
        sizes = [image.shape[:2] for image in images]
        detections = [self.suppress(*arguments) for arguments in zip(boxes, scores, sizes, strict=True)]
        return self.refine(images, detections) if self.refine_share or self.rescore_share else detections

    def classify_regions(
        self, images: Sequence[Image], boxes: Sequence[FloatArray]
    ) -> tuple[list[FloatArray], list[RegionScores]]:
        """Score proposals from coarse to fine: first the best ones of each image, then those near a likely object.

        Args:
            images: [H, W, 3] each.
            boxes: the proposals [N, 4] of each image, best first.

        Returns:
            For each image the proposals [M, 4] that were scored, with those of the first pass first, and their scores.
            These are all proposals if `coarse_share` is 1.

        Raises:
            InputError: naming the classifier, if its result has another form or range than `Classifier` says.
        """
        if self.coarse_share == 1:
            return list(boxes), find_scores(self.classify, images, boxes)
        coarse = [image_boxes[: math.ceil(self.coarse_share * len(image_boxes))] for image_boxes in boxes]
        coarse_scores = find_scores(self.classify, images, coarse)
        fine = []
        for image_boxes, regions, scores in zip(boxes, coarse, coarse_scores, strict=True):
            rest = image_boxes[len(regions) :]
            likeliest = scores.probabilities[:, 1:].max(axis=1, initial=0)
            fine.append(rest[neighbour_confidence(rest, regions, likeliest) >= float(self.fine_threshold)])
        fine_scores = find_scores(self.classify, images, fine)
        scored = [np.concatenate(pair) for pair in zip(coarse, fine, strict=True)]
        return scored, [first.followed_by(second) for first, second in zip(coarse_scores, fine_scores, strict=True)]

    def suppress(self, boxes: FloatArray, scores: RegionScores, size: tuple[int, int]) -> Detections:
        """Return the detections among the scored regions of one image: calibrate, then for each class NMS.

        Args:
            boxes: the regions [N, 4]; `scores.boxes` are used instead where the classifier refined them.
            scores: of the same N regions.
            size: height and width of the image.

        Raises:
            ValueError: if the scores have another number of regions or classes, or are out of range.
        """
        require_scores(scores, (len(boxes), len(self.class_names) + 1))
        class_boxes, class_scores = self._calibrated(boxes, scores, size)
        if self.classes is not None:
            wanted = np.isin(np.arange(len(self.class_names)), find_labels(self.classes, self.class_names))
            class_scores = np.where(wanted, class_scores, np.float32(-1))  # which is below every threshold
        rows, labels = self._suppression.select(
            class_boxes, class_scores, score_threshold=self.score_threshold, limit=self.max_detections
        )
        guesses = None if len(rows) else find_guesses(class_boxes, class_scores, self.class_names)
        best_boxes, best_scores = class_boxes[rows, labels], class_scores[rows, labels]
        if self.voting_iou is not None:
            best_boxes = vote_for_detections(rows, labels, class_boxes, class_scores, self.voting_iou)
            # Voting can move two boxes towards each other.
            kept = self._suppression.keep(best_boxes, best_scores, labels)
            best_boxes, best_scores, labels = best_boxes[kept], best_scores[kept], labels[kept]
        return Detections(best_boxes, best_scores, labels, self.class_names, guesses=guesses)

    def refine(self, images: Sequence[Image], detections: Sequence[Detections]) -> list[Detections]:
        """Return the detections of each image after a last look of the classifier at their boxes.

        The classifier scores the boxes of the detections as it scores proposals, by `score_last` if it has this method.
        Each box moves by `refine_share` of the way to the refined one of its class. The log odds of each score become
        the mean of their own and those of the last look, whose weight is `rescore_share`. A detection is dropped if its
        score is then below `score_threshold`, or if its box duplicates that of a better one. Errors are those of
        `classify_regions`.
        """
        scores = find_last_scores(self.classify, images, [found.boxes for found in detections])
        return [
            self._refine(found, last, image.shape[:2])
            for found, last, image in zip(detections, scores, images, strict=True)
        ]

    def _refine(self, detections: Detections, last: RegionScores, size: tuple[int, int]) -> Detections:
        if not len(detections):
            return detections
        boxes, labels, scores = detections.boxes, detections.labels, detections.scores
        class_boxes, class_scores = self._calibrated(boxes, last, size)
        rows = np.arange(len(labels))
        boxes = boxes + np.float32(self.refine_share) * (class_boxes[rows, labels] - boxes)
        if self.rescore_share:
            scores = mean_by_log_odds(scores, class_scores[rows, labels], self.rescore_share)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= np.float32(self.score_threshold)]
        if not len(order):
            label_scores = np.zeros_like(class_scores)
            label_scores[rows, labels] = scores
            return replace(detections[:0], guesses=find_guesses(class_boxes, label_scores, self.class_names))
        boxes, scores, labels = boxes[order], scores[order], labels[order]
        kept = self._suppression.keep(boxes, scores, labels)
        return Detections(boxes[kept], scores[kept], labels[kept], self.class_names)

    def _calibrated(
        self, boxes: FloatArray, scores: RegionScores, size: tuple[int, int]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the boxes [N, C, 4] and the calibrated scores [N, C] of N regions of an image for C classes."""
        class_scores = scores.probabilities[:, 1:].clip(0, 1)
        class_boxes = boxes[:, None] if scores.boxes is None else scores.boxes  # [N, 1 or C, 4]
        if self.calibrate is not None:
            areas = box_area(class_boxes) / (size[0] * size[1])
            class_scores = find_probabilities(self.calibrate, class_scores, areas.astype(np.float32))
        return np.broadcast_to(class_boxes, (*class_scores.shape, 4)), class_scores

    @property
    def _suppression(self) -> Suppression:
        return Suppression(self.nms_iou_threshold, self.part_share)
