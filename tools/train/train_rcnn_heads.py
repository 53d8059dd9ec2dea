"""Fit R-CNN's heads on the features of a trained network: linear SVMs that replace its softmax, and box regression.

detect-train-rcnn-heads --config tiny_imagenet.yaml --data FOLDER \
    --weights trained.safetensors --save rcnn.safetensors

The heads themselves are in `classifier.training.rcnn_heads`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import Namespace
from tqdm import tqdm

from classifier.box_deltas import encode_boxes
from classifier.region_classifier import RegionClassifier
from classifier.scoring.description import find_weights
from classifier.scoring.weights_file import load_region_network, save_weights
from classifier.training.rcnn_heads.box_ridge import MIN_IOU, BoxRidge
from classifier.training.rcnn_heads.linear_head import LinearHead
from classifier.training.rcnn_heads.svm import HardNegativeMining, class_overlaps, feature_scale
from classifier.training.samples.sampled_boxes import apart_from
from classifier.training.tasks import require_all_classes
from detection.datasets.annotated_images import read_annotated_image, require_stated_sizes
from detection.errors import InputError
from detection.structures.arrays import FloatArray, Image, IntArray
from detection.structures.boxes import box_iou
from detection.structures.class_choice import require_same_classes
from detection.structures.ground_truth import GroundTruth
from tools.command.entry_point import command
from tools.command.experiment import add_detector_experiment_options, parse_experiment
from tools.command.image_proposals import ImageProposals, open_cache
from tools.command.option_parser import OptionParser
from tools.command.options import add_limit_option, evenly_spaced
from tools.command.output_file import WEIGHTS, add_overwrite_option, prepare_output

NORM_IMAGES = 50
"""Number of images whose regions give the mean norm of the features; R-CNN's code uses 200."""


class RegionFeatures:
    """The scaled features that a network has for the ground truth and the proposals of images.

    Ignored objects do not count as ground truth, and proposals that overlap them are left out.
    """

    def __init__(self, classify: RegionClassifier, proposals: ImageProposals) -> None:
        self.classify = classify
        self.proposals = proposals
        self.scale = 1.0

    def extract_objects(self, record: GroundTruth) -> FloatArray:
        """Return the features [M, F] of the objects of an image that are not ignored."""
        return self._extract(read_annotated_image(record), record.boxes[~record.ignored])

    def extract_regions(self, record: GroundTruth) -> tuple[FloatArray, FloatArray]:
        """Return the ground truth and then the proposals of an image [N, 4], and their features [N, F]."""
        image = read_annotated_image(record)
        proposed = apart_from(record.boxes[record.ignored], self.proposals(record, image).boxes)
        regions = np.concatenate([record.boxes[~record.ignored], proposed])
        return regions, self._extract(image, regions)

    def _extract(self, image: Image, regions: FloatArray) -> FloatArray:
        features: FloatArray = self.classify.region_features(image, regions).cpu().numpy()
        return features * np.float32(self.scale)


def build_parser() -> OptionParser:
    """Return the parser of the command."""
    parser = OptionParser(prog="detect-train-rcnn-heads", description="Fit SVMs and box regression.")
    add_detector_experiment_options(parser, detector_required=True, keep=("seed", "train_split"))
    parser.add_argument("--weights", type=str, required=True, help="safetensors file of the trained network")
    parser.add_argument("--save", type=str, required=True, help="safetensors file to write, with the new heads")
    parser.add_argument("--svm", type=bool, default=True, help="replace the class layer of the network by SVMs")
    parser.add_argument("--ridge", type=bool, default=True, help="refine the boxes of each class")
    add_limit_option(parser)
    add_overwrite_option(parser)
    return parser


@command("detect-train-rcnn-heads")
def main(arguments: Sequence[str]) -> None:
    """Fit the heads and write the file."""
    parser = build_parser()
    settings = parse_experiment(parser, arguments)
    if not (settings.svm or settings.ridge):
        raise InputError("expected --svm true or --ridge true, got neither")
    set_weights(settings)
    target = prepare_output(settings, "save", WEIGHTS, parser.prog)
    cache = open_cache(settings, settings.detector.propose)
    built = parser.instantiate(settings)
    records = read_records(settings, built)
    if cache is not None:
        cache.require(records)
    features = RegionFeatures(built.detector["classify"], ImageProposals(built.detector["propose"], cache))
    svms, ridge = fit_heads(features, records, settings)
    training = {"made_by": target.made_by, "rcnn_heads": {"images": len(records), "seed": settings.seed}}
    save_heads(find_weights(settings.weights), target.path, svms, ridge, scale=features.scale, training=training)
    heads = [name for name in ("svm", "ridge") if settings[name]]
    print(f"{settings.save}: {' and '.join(heads)} of {len(records)} images")


def set_weights(settings: Namespace) -> None:
    """Make the classifier of the experiment's detector read the weights of `--weights`."""
    expected = f"{RegionClassifier.__module__}.{RegionClassifier.__name__}"
    if settings.detector.classify.class_path != expected:
        raise InputError(f"detector.classify: expected {expected}, got {settings.detector.classify.class_path}")
    settings["detector.classify.init_args.weights"] = settings.weights


def read_records(settings: Namespace, built: Namespace) -> list[GroundTruth]:
    """Return the images to learn from in random order.

    Hard negatives are collected in one pass, so in an order by class those of the last classes would dominate.

    Raises:
        InputError: if the classes differ from those of the weights, or if a class has no objects.
    """
    names = built.dataset.class_names
    require_same_classes(settings.weights, built.detector["classify"].class_names, settings.data, names)
    records = evenly_spaced(built.dataset.read(settings.train_split), settings.limit)
    require_stated_sizes(records)
    labels = (label for record in records for label in record.labels[~record.ignored].tolist())
    require_all_classes(labels, built.dataset, f"{len(records)} images of split '{settings.train_split}'")
    order = np.random.default_rng(settings.seed).permutation(len(records))
    return [records[index] for index in order]


def fit_heads(
    features: RegionFeatures, records: Sequence[GroundTruth], settings: Namespace
) -> tuple[LinearHead | None, LinearHead | None]:
    """Fit the SVMs and the box regression that are wanted to scaled features, in one pass over the regions."""
    sample = np.concatenate(
        [features.extract_regions(record)[1] for record in progress(records[:NORM_IMAGES], "feature norm")]
    )
    features.scale = feature_scale(sample)
    num_classes = len(features.classify.class_names)
    mining = ridge = None
    if settings.svm:
        mining = HardNegativeMining(positives(features, records, num_classes=num_classes), seed=settings.seed)
    if settings.ridge:
        ridge = BoxRidge(sample.shape[1], num_classes=num_classes)
    for record in progress(records, "regions"):
        regions, region_features = features.extract_regions(record)
        if mining is not None:
            # Ignored objects are included: a region that overlaps one a little is no negative of its class.
            overlaps = class_overlaps(regions, record.boxes, record.labels, num_classes=num_classes)
            mining.add_image(region_features, overlaps)
        if ridge is not None and not record.ignored.all():
            ridge.add(*match_regions(regions, region_features, record))
    try:
        svms = None if mining is None else mining.finish()
    except ValueError as error:
        raise InputError(f"{settings.data}: {error}") from None
    return svms, None if ridge is None else ridge.finish()


def positives(features: RegionFeatures, records: Sequence[GroundTruth], *, num_classes: int) -> list[FloatArray]:
    """Return the features [P, F] of the ground truth of each class."""
    inputs = np.concatenate([features.extract_objects(record) for record in progress(records, "positives")])
    labels = np.concatenate([record.labels[~record.ignored] for record in records])
    return [inputs[labels == label] for label in range(num_classes)]


def match_regions(
    regions: FloatArray, features: FloatArray, record: GroundTruth
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Pair regions [N, 4] that overlap an object enough with the object that they overlap most.

    Ignored objects do not count; there must be at least one other object.

    Returns:
        The features [K, F] of the K regions, their deltas [K, 4] to the objects, and the labels [K] of the objects.
    """
    boxes, labels = record.boxes[~record.ignored], record.labels[~record.ignored]
    iou = box_iou(regions, boxes)  # [N, M]
    best = iou.argmax(axis=1)
    near = iou.max(axis=1) > MIN_IOU
    targets = boxes[best[near]]
    deltas = encode_boxes(torch.from_numpy(regions[near]), torch.from_numpy(targets)).numpy()
    return features[near], deltas, labels[best[near]]


def save_heads(
    source: Path,
    target: Path,
    svms: LinearHead | None,
    ridge: LinearHead | None,
    *,
    scale: float,
    training: dict[str, Any],
) -> None:
    """Write the network of the file `source` with new heads to the file `target`.

    Args:
        source: weights file of the trained network.
        target: weights file to write.
        svms: the SVMs, or None to keep the class layer.
        ridge: the box regression, or None to keep the box head, if there is one.
        scale: factor on the features to which the heads were fitted.
        training: what the file is to say about its training, besides what `source` says.
    """
    network, old = load_region_network(source)
    if svms is not None:
        network.trunk.linear = svms.layer(scale)
    if ridge is not None:
        network.box_head = ridge.layer(scale)
    description = replace(
        old,
        # Auxiliary heads help only in training; with SVMs, they would be built without background.
        init_args={name: value for name, value in old.init_args.items() if name != "auxiliary_heads"},
        head="svm" if svms is not None else old.head,
        box_regression=old.box_regression or ridge is not None,
        box_grid=old.box_grid if ridge is None else None,
        training=old.training | training,
    )
    fitted = description.build_region_network()
    state = network.state_dict()
    fitted.load_state_dict({name: state[name] for name in fitted.state_dict()})
    save_weights(target, fitted, description)


def progress(records: Sequence[GroundTruth], stage: str) -> Any:
    """Return the records, with a progress bar if the command runs in a terminal."""
    return tqdm(records, desc=stage, unit="image", disable=None)


if __name__ == "__main__":
    sys.exit(main())
