"""The settings of a training of own classes: own_classes.yaml with the values that fit the data, time and machine.

The number of steps follows from the time that a step takes, which is measured on this machine before the training.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional

from classifier.region_network import RegionNetwork
from detection.configuration import find_config, read_yaml
from detection.detector import Detector
from detection.image import read_image
from detection.structures.ground_truth import GroundTruth

TEMPLATE = "own_classes.yaml"

BATCHES = (32, 16, 8)
"""Pictures in a batch; the template has the first. A smaller one is taken where the time is short, for more steps."""

MANY_STEPS = 200
"""Steps that the time must leave for a batch that is not the smallest (our choice)."""

REGIONS = 128
"""Regions in a batch of the template: `batch_size` times `per_image`."""

LOADING = 1.35
"""Factor on the time of a step for reading and warping regions, which happens on the same cores."""

FIXED_SECONDS = 25.0
"""Time for imports, and for the report and pictures at the end."""

FEWEST_STEPS = 100
"""A shorter run would hardly learn anything, so it may take longer than the time that was asked for."""

MOST_PASSES = 200
"""Passes over the training pictures at which training ends before the time is over. A schedule that is planned to end
there also lowers the learning rate to zero, which stopping a longer one in its middle would not."""

TIMED_STEPS = 3
TIMED_IMAGES = 3

TRIED_REGIONS = 16
"""Regions in the steps that decide on the precision: a processor without bfloat16 needs many times as long with it."""


@dataclass(frozen=True)
class Size:
    """A size of detectors: the side of the input in pixels, its context, and the number of proposals of a picture."""

    input_size: int
    context: int
    proposals: int


SIZES = {"small": Size(96, 7, 300), "medium": Size(112, 8, 500), "large": Size(160, 11, 1000)}


@dataclass(frozen=True)
class Speed:
    """The time in seconds of a training step of `REGIONS`, and of finding and of scoring the proposals of a picture."""

    step: float
    propose: float
    score: float
    precision: str


@dataclass(frozen=True)
class Plan:
    """The number of training steps of each member, the pictures in a batch, and the time of a step and of everything.

    The times are in seconds.
    """

    steps: int
    batch: int
    step_seconds: float
    seconds: float


def plan_steps(speed: Speed, *, seconds: float, learned: int, measured: int, members: int) -> Plan:
    """Return the steps of each member: as many as fit into the time, or fewer that are enough.

    Args:
        speed: the speed of this machine.
        seconds: time for everything.
        learned: number of pictures to train on.
        measured: number of pictures that the finished detector is measured on.
        members: number of networks.
    """
    other = FIXED_SECONDS + speed.propose * (learned + measured) + speed.score * measured * members
    plans = []
    for batch in BATCHES:
        step = speed.step * batch / BATCHES[0]
        plans.append(Plan(int((seconds - other) / (members * step)), batch, step, seconds))
    fitting = next((plan for plan in plans if plan.steps >= MANY_STEPS), plans[-1])
    steps = max(FEWEST_STEPS, min(fitting.steps, enough_steps(learned, fitting.batch)))
    return replace(fitting, steps=steps, seconds=other + steps * fitting.step_seconds * members)


def enough_steps(learned: int, batch: int) -> int:
    """Return the number of steps that make `MOST_PASSES` over some number of training pictures."""
    return MOST_PASSES * learned // min(batch, learned)


def measure_speed(network: RegionNetwork, detector: Detector, records: Sequence[GroundTruth], size: Size) -> Speed:
    """Measure the speed of this machine with the network, which is changed, and some pictures."""
    chosen = records[:: max(1, len(records) // (TIMED_IMAGES + 1))][: TIMED_IMAGES + 1]
    images = [read_image(record.path) for record in chosen]
    proposals = [detector.propose(image) for image in images]  # compiles the loops of the proposals
    detector.score(images[:1], proposals[:1])
    with stopwatch() as propose_time:
        for image in images[1:] or images:
            detector.propose(image)
    with stopwatch() as score_time:
        detector.score(images, proposals)
    precision = min(("bf16-mixed", "32-true"), key=lambda name: time_step(network, size, name, regions=TRIED_REGIONS))
    step = time_step(network, size, precision, regions=REGIONS) * LOADING
    return Speed(step, propose_time[0] / max(1, len(images) - 1), score_time[0] / len(images), precision)


def time_step(network: RegionNetwork, size: Size, precision: str, *, regions: int) -> float:
    """Return the time in seconds of a training step of random regions."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.train().to(device).to(memory_format=torch.channels_last)
    for name in read_yaml(find_config(TEMPLATE))["frozen"]:
        network.get_submodule(name).requires_grad_(False)
    inputs = torch.rand(regions, 3, size.input_size, size.input_size, device=device)
    inputs = inputs.to(memory_format=torch.channels_last)
    labels = torch.zeros(regions, dtype=torch.int64, device=device)

    def step() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = functional.cross_entropy(network(inputs).logits, labels)
        loss.backward()
        network.zero_grad()
        return float(loss.detach())  # waits for a GPU

    step()
    with stopwatch() as elapsed:
        for _ in range(TIMED_STEPS):
            step()
    return elapsed[0] / TIMED_STEPS


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Yield a list that holds the time in seconds when the block has ended."""
    elapsed: list[float] = []
    start = time.perf_counter()
    yield elapsed
    elapsed.append(time.perf_counter() - start)


def settings_text(values: Mapping[str, Any]) -> str:
    """Return the text of the template, with its comments, and with new values for the keys `values`.

    Of several keys with the same name, the outermost gets the value.

    Raises:
        ValueError: if the template has no such key.
    """
    lines = find_config(TEMPLATE).read_text(encoding="utf-8").splitlines()
    for key, value in values.items():
        candidates = [
            (len(line) - len(line.lstrip()), row)
            for row, line in enumerate(lines)
            if line.lstrip().startswith(f"{key}: ")
        ]
        if not candidates:
            raise ValueError(f"expected the key {key} in {TEMPLATE}, got none")
        indent, row = min(candidates)
        _, comment, text = lines[row].partition("#")
        lines[row] = f"{' ' * indent}{key}: {value} {comment}{text}".rstrip()
    return "\n".join(lines) + "\n"
