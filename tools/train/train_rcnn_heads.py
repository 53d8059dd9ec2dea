"""Fit R-CNN's heads on the features of a trained network: linear SVMs in place of its softmax, and box regression.

detect-train-rcnn-heads --config tiny_imagenet.yaml --data FOLDER \
    --weights trained.safetensors --save rcnn.safetensors
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from classifier.region_classifier import RegionClassifier
from classifier.region_network import encode_boxes
from classifier.scoring.weights_file import find_weights, load_region_network, save_weights
from classifier.training.rcnn_heads.box_ridge import MIN_IOU, BoxRidge
from classifier.training.rcnn_heads.linear_head import LinearHead
from classifier.training.rcnn_heads.svm import HardNegativeMining, class_overlaps, feature_scale
from classifier.training.samples.sampled_boxes import apart_from
from classifier.whole_images.image_classifier import require_same_classes
from detection.errors import InputError
from detection.image import read_image
from detection.structures.arrays import FloatArray, Image, IntArray
from detection.structures.boxes import box_iou
from detection.structures.ground_truth import GroundTruth
from tools.command.entry_point import command
from tools.command.experiment import add_experiment_options
from tools.command.image_proposals import ImageProposals, open_cache
from tools.command.options import add_limit_option, evenly_spaced

NORM_IMAGES = 50
"""Images whose regions tell the features' mean norm; R-CNN's code takes 200."""


class Pairs(NamedTuple):
    """Regions near a ground truth: `features` [N, F], `deltas` [N, 4] to it, and its class in `labels` [N]."""

    features: FloatArray
    deltas: FloatArray
    labels: IntArray


class RegionFeatures:
    """Scaled features of a network for regions of images: the ground truth, and what is proposed.

    Ignored objects are no ground truth, and what overlaps them is not among the regions.
    """

    def __init__(self, classify: RegionClassifier, proposals: ImageProposals) -> None:
        self.classify = classify
        self.proposals = proposals
        self.scale = 1.0

    def of_ground_truth(self, record: GroundTruth) -> FloatArray:
        """Features [M, F] of the objects of an image, without those that are ignored."""
        return self._extract(read_image(record.path), record.boxes[~record.ignored])

    def of_image(self, record: GroundTruth) -> tuple[FloatArray, FloatArray]:
        """Regions [N, 4], the ground truth before the proposals, and their features [N, F]."""
        image = read_image(record.path)
        proposed = apart_from(record.boxes[record.ignored], self.proposals(record, image).boxes)
        regions = np.concatenate([record.boxes[~record.ignored], proposed])
        return regions, self._extract(image, regions)

    def _extract(self, image: Image, regions: FloatArray) -> FloatArray:
        features: FloatArray = self.classify.region_features(image, regions).cpu().numpy()
        return features * np.float32(self.scale)


def build_parser() -> ArgumentParser:
    """The options of the tool."""
    parser = ArgumentParser(prog="detect-train-rcnn-heads", description="Fit SVMs and box regression.")
    add_experiment_options(parser, detector_required=True)
    parser.add_argument("--weights", type=str, required=True, help="safetensors file of the trained network")
    parser.add_argument("--save", type=str, required=True, help="safetensors file to write, with the new heads")
    parser.add_argument("--svm", type=bool, default=True, help="SVMs in place of the network's class layer")
    parser.add_argument("--ridge", type=bool, default=True, help="refine the boxes of each class")
    add_limit_option(parser)
    return parser


@command("detect-train-rcnn-heads")
def main(arguments: Sequence[str]) -> None:
    """Fit the heads, write the file, and return the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    if not (settings.svm or settings.ridge):
        raise InputError("expected --svm true or --ridge true, got neither")
    if Path(settings.save).is_dir():
        raise InputError(f"{settings.save}: expected a file to write, got a folder")
    set_weights(settings)
    cache = open_cache(settings, settings.detector.propose)
    built = parser.instantiate(settings)
    records = read_records(settings, built)
    if cache is not None:
        cache.require(records)
    features = RegionFeatures(built.detector["classify"], ImageProposals(built.detector["propose"], cache))
    svms, ridge = fit_heads(features, records, settings)
    how = {"images": len(records), "seed": settings.seed}
    save_heads(find_weights(settings.weights), Path(settings.save), svms, ridge, scale=features.scale, training=how)
    heads = [name for name in ("svm", "ridge") if settings[name]]
    print(f"{settings.save}: {' and '.join(heads)} of {len(records)} images")


def set_weights(settings: Namespace) -> None:
    """Let the classifier of the experiment's detector read the weights of `--weights`."""
    expected = f"{RegionClassifier.__module__}.{RegionClassifier.__name__}"
    if settings.detector.classify.class_path != expected:
        raise InputError(f"detector.classify: expected {expected}, got {settings.detector.classify.class_path}")
    settings["detector.classify.init_args.weights"] = settings.weights


def read_records(settings: Namespace, built: Namespace) -> list[GroundTruth]:
    """The images to learn from, shuffled: one pass over images sorted by class would end on the last classes' view.

    Raises:
        InputError: if the classes are not those of the weights, or one has no objects.
    """
    names = built.dataset.class_names
    require_same_classes(settings.weights, built.detector["classify"].class_names, settings.data, names)
    records = evenly_spaced(built.dataset.read(settings.train_split), settings.limit)
    present = {label for record in records for label in record.labels[~record.ignored].tolist()}
    absent = [name for label, name in enumerate(names) if label not in present]
    if absent:
        where = f"{len(records)} images of split '{settings.train_split}'"
        raise InputError(f"{settings.data}: expected objects of every class in {where}, found no {absent[0]}")
    order = np.random.default_rng(settings.seed).permutation(len(records))
    return [records[index] for index in order]


def fit_heads(
    features: RegionFeatures, records: Sequence[GroundTruth], settings: Namespace
) -> tuple[LinearHead | None, LinearHead | None]:
    """The SVMs and the box regression that were asked for, on scaled features, in one pass over the regions."""
    sample = np.concatenate(
        [features.of_image(record)[1] for record in progress(records[:NORM_IMAGES], "feature norm")]
    )
    features.scale = feature_scale(sample)
    num_classes = len(features.classify.class_names)
    mining = ridge = None
    if settings.svm:
        mining = HardNegativeMining(positives(features, records, num_classes=num_classes), seed=settings.seed)
    if settings.ridge:
        ridge = BoxRidge(sample.shape[1], num_classes=num_classes)
    for record in progress(records, "regions"):
        regions, of_image = features.of_image(record)
        if mining is not None:
            # With those that are ignored: what overlaps one a little is no example of what is not of its class.
            overlaps = class_overlaps(regions, record.boxes, record.labels, num_classes=num_classes)
            mining.add_image(of_image, overlaps)
        if ridge is not None and not record.ignored.all():
            ridge.add(*match_regions(regions, of_image, record))
    try:
        svms = None if mining is None else mining.finish()
    except ValueError as error:
        raise InputError(f"{settings.data}: {error}") from None
    return svms, None if ridge is None else ridge.finish()


def positives(features: RegionFeatures, records: Sequence[GroundTruth], *, num_classes: int) -> list[FloatArray]:
    """Features of the ground truth of each class: [P, F] each."""
    inputs = np.concatenate([features.of_ground_truth(record) for record in progress(records, "positives")])
    labels = np.concatenate([record.labels[~record.ignored] for record in records])
    return [inputs[labels == label] for label in range(num_classes)]


def match_regions(regions: FloatArray, features: FloatArray, record: GroundTruth) -> Pairs:
    """The regions [N, 4] that overlap an object enough to learn from, with the one each overlaps most.

    Ignored objects do not count; there must be others.
    """
    boxes, labels = record.boxes[~record.ignored], record.labels[~record.ignored]
    iou = box_iou(regions, boxes)  # [N, M]
    best = iou.argmax(axis=1)
    near = iou.max(axis=1) > MIN_IOU
    targets = boxes[best[near]]
    deltas = encode_boxes(torch.from_numpy(regions[near]), torch.from_numpy(targets)).numpy()
    return Pairs(features[near], deltas, labels[best[near]])


def save_heads(
    source: Path,
    target: Path,
    svms: LinearHead | None,
    ridge: LinearHead | None,
    *,
    scale: float,
    training: dict[str, Any],
) -> None:
    """Write the network of `source` with its new heads, fitted on features times `scale`, to `target`.

    `training` says how they came about.
    """
    network, old = load_region_network(source)
    if svms is not None:
        network.trunk.linear = svms.layer(scale)
    if ridge is not None:
        network.box_head = ridge.layer(scale)
    description = replace(
        old,
        # Auxiliary heads help only in training, and would be built without background beside SVMs.
        init_args={name: value for name, value in old.init_args.items() if name != "auxiliary_heads"},
        head="svm" if svms is not None else old.head,
        box_regression=old.box_regression or ridge is not None,
        training=old.training | {"rcnn_heads": training},
    )
    fitted = description.build_region_network()
    state = network.state_dict()
    fitted.load_state_dict({name: state[name] for name in fitted.state_dict()})
    save_weights(target, fitted, description)


def progress(records: Sequence[GroundTruth], stage: str) -> Any:
    """The records, with a bar on a terminal."""
    return tqdm(records, desc=stage, unit="image", disable=None)


if __name__ == "__main__":
    sys.exit(main())
