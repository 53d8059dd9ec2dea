"""The baseline of `detect-train DATA`: Faster R-CNN of torchvision, trained on the same data for the same time.

detect-benchmark own-classes DATA --time 10m

The network (MobileNetV3, FPN, 320 pixels) starts from random weights, because weights would have to be downloaded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detection.datasets.annotated_images import read_annotated_image
from detection.evaluation import DetectionMetrics, score
from detection.evaluation.uncertainty.bootstrap import RESAMPLES
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import split_detections, split_index, split_objects
from tools.command.option_parser import OptionParser
from tools.command.options import LayoutName, Seed
from tools.report.score_report import build_report
from tools.train.own_classes.command import RULE, read_data, seconds_of
from tools.train.own_classes.summary import result_line

BATCH = 8
"""Pictures of a training step."""

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.02, 0.9, 1e-4
"""The optimiser of torchvision's reference training of this network, which has 16 pictures in a step."""

WARM_UP = 0.05
"""Share of the time in which the learning rate rises; then it falls along a cosine."""

LARGEST_GRADIENT = 10.0
"""Norm of the gradients above which they are scaled down, because random weights diverge in some runs."""

Sample = tuple[Tensor, dict[str, Tensor]]
"""A picture [3, H, W] in 0-1, with its `boxes` [M, 4] and its `labels` [M], which are 1 for the first class."""


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark own-classes", description="Train Faster R-CNN from random weights.")
    parser.add_argument("data", type=str, help="folder of pictures with boxes, as for detect-train")
    parser.add_argument("--time", type=str, default="10m", help="time of the training, such as 90s, 10m or 1h30m")
    parser.add_argument("--processor-time", action="store_true", help="count the time of the processor, not of a clock")
    parser.add_argument("--seed", type=Seed, default=1, help="seed of the weights and of the order of the pictures")
    parser.add_argument("--layout", type=LayoutName | None, help="layout of the data, if it is not recognised")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Train, measure and print."""
    options = build_parser().parse_args(arguments)
    seconds = seconds_of(options.time)
    dataset = read_data(Path(options.data), options)
    torch.manual_seed(options.seed)
    network = build_network(len(dataset.class_names))
    clock = time.process_time if options.processor_time else time.monotonic
    records = dataset.read("train")
    steps = train(network, draw_batches(records, options.seed), share_of(seconds, clock))
    print(f"Faster R-CNN (MobileNetV3, 320 px): {steps} steps of {min(BATCH, len(records))} pictures in {options.time}")
    for split in dataset.splits:
        if split != "train":
            metrics = measure(network, dataset.read(split), dataset.class_names)
            print(result_line(build_report(metrics, resamples=RESAMPLES, warnings=[]), split))


def build_network(num_classes: int) -> nn.Module:
    """Return the network with random weights; it returns all detections that could count."""
    from torchvision.models.detection import (  # noqa: PLC0415  slow to import, and only this benchmark needs it
        fasterrcnn_mobilenet_v3_large_320_fpn,
    )

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    thresholds = {"rpn_score_thresh": 0.0, "box_score_thresh": 0.002}
    network: nn.Module = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=1 + num_classes, **thresholds
    )
    return network.to(device)


def share_of(seconds: float, clock: Callable[[], float]) -> Callable[[], float]:
    """Return a function that returns the share of the time that has passed since now."""
    start = clock()
    return lambda: (clock() - start) / seconds


def draw_batches(records: Sequence[GroundTruth], seed: int) -> Iterator[list[Sample]]:
    """Yield batches without end: all pictures in random order, each mirrored or not, then all of them again."""
    generator = np.random.default_rng(seed)
    size = min(BATCH, len(records))
    while True:
        order = generator.permutation(len(records))[: len(records) // size * size]
        for rows in order.reshape(-1, size).tolist():
            yield [read_sample(records[row], mirrored=generator.random() < 0.5) for row in rows]


def read_sample(record: GroundTruth, *, mirrored: bool) -> Sample:
    """Return a picture and its objects that are not ignored, as torchvision expects them.

    Raises:
        InputError: naming the file, if the picture cannot be read, or has another size than its annotation.
    """
    picture = torch.from_numpy(read_annotated_image(record)).permute(2, 0, 1).float() / 255
    boxes = torch.from_numpy(record.boxes[~record.ignored])
    labels = torch.from_numpy(record.labels[~record.ignored]) + 1
    if mirrored:
        width = picture.shape[2]
        picture = picture.flip(2)
        boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
    return picture, {"boxes": boxes, "labels": labels}


def train(network: nn.Module, batches: Iterator[list[Sample]], passed: Callable[[], float]) -> int:
    """Train until the share of the time that has `passed` is 1; return the number of steps."""
    device = next(network.parameters()).device
    optimizer = torch.optim.SGD(
        network.parameters(), LEARNING_RATE * BATCH / 16, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: rate_factor(min(1.0, passed())))
    network.train()
    steps = 0
    while passed() < 1:
        batch = next(batches)
        pictures = [picture.to(device) for picture, _ in batch]
        targets = [{name: value.to(device) for name, value in target.items()} for _, target in batch]
        losses: dict[str, Tensor] = network(pictures, targets)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        scheduler.step()
        steps += 1
    return steps


def rate_factor(progress: float) -> float:
    """Return the factor on the learning rate, 0-1, when the share `progress` (0-1) of the time has passed."""
    if progress < WARM_UP:
        return max(0.01, progress / WARM_UP)
    return 0.5 + 0.5 * math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))


def measure(network: nn.Module, records: Sequence[GroundTruth], class_names: tuple[str, ...]) -> DetectionMetrics:
    """Return the metrics of the network on pictures, by the rule of `detect-train DATA`."""
    network.eval()
    index = split_index([record.image_id for record in records], class_names)
    detections = {record.image_id: detect(network, record, class_names) for record in records}
    return score(split_objects(index, records), split_detections(index, detections), RULE)


@torch.inference_mode()
def detect(network: nn.Module, record: GroundTruth, class_names: tuple[str, ...]) -> Detections:
    """Return the detections in a picture."""
    picture, _ = read_sample(record, mirrored=False)
    output: dict[str, Any] = network([picture.to(next(network.parameters()).device)])[0]
    boxes, scores, labels = (output[name].cpu().numpy() for name in ("boxes", "scores", "labels"))
    return Detections(boxes, scores, labels - 1, class_names)
