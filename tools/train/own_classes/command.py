"""`detect-train DATA`: from a folder of pictures with boxes to a detector of their classes.

detect-train DATA
detect-train DATA --time 10m --output my-detector
detect-train DATA --members 3 --size large --time 2h

The folder that it writes is a detector: `detect --config my-detector photo.jpg`. If the command is interrupted, the
same command goes on where it stopped. `--dry-run` only checks the data and writes training.yaml, whose settings can be
changed before the command is run again without it.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import Namespace

from classifier.scoring.description import find_weights
from classifier.scoring.weights_file import save_weights
from classifier.training.initial_weights.class_start import start_for_classes
from detection.configuration import read_yaml
from detection.datasets import LabelledFolder
from detection.datasets.layouts.summary import summarise
from detection.detector import Detector
from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically
from detection.structures.ground_truth import checksum_of
from tools.command.experiment import add_loggers_option
from tools.command.option_parser import OptionParser
from tools.command.options import Count, LayoutName, Seed
from tools.train.own_classes.begun_settings import require_unchanged
from tools.train.own_classes.choice import choose_settings
from tools.train.own_classes.detector_file import build_stages, detector_yaml
from tools.train.own_classes.folder import DetectorFolder
from tools.train.own_classes.plan import FEWEST_STEPS, SIZES, enough_steps, measure_speed, plan_steps, settings_text
from tools.train.own_classes.scored_split import score_split
from tools.train.own_classes.steps import fits_decoded, make_proposals, train_member
from tools.train.own_classes.summary import SplitResult, next_commands, write_summary

START = "everyday.safetensors"
"""The shipped network that training starts from."""

RULE = "voc"
"""The scoring rule of the figures: average precision as PASCAL VOC defines it, at an IoU of 0.5."""


LONGEST_TIME = 365 * 24 * 3600
"""The longest time of a training, in seconds."""

DURATION = r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?"

SizeName = Literal["small", "medium", "large"]


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(
        prog="detect-train",
        description="Train a detector of your own classes from a folder of pictures with boxes. "
        "For experiments see `detect-train fit --help`.",
    )
    parser.add_argument("data", type=str, help="folder of pictures with boxes, in any of the usual layouts")
    parser.add_argument(
        "--output", type=str | None, help="folder of the new detector; default: <name of DATA>-detector"
    )
    parser.add_argument("--time", type=str, default="10m", help="time for everything, such as 90s, 10m or 1h30m")
    parser.add_argument("--size", type=SizeName, default="medium", help="larger is slower and finds more")
    parser.add_argument("--members", type=Count, default=1, help="number of networks; more are slower and better")
    parser.add_argument("--seed", type=Seed, default=1, help="seed of the training")
    parser.add_argument(
        "--layout", type=LayoutName | None, help="layout of the data, if it is not recognised by itself"
    )
    add_loggers_option(parser)
    parser.add_argument("--dry-run", action="store_true", help="only check the data and write the settings")
    return parser


def seconds_of(text: str) -> float:
    """Return the seconds of "90s", "10m" or "1h30m"; a number alone is in seconds.

    Raises:
        InputError: for another text, or if the time is not above 0 and at most a year.
    """
    match = re.fullmatch(DURATION, text)
    parts = [float(part or 0) for part in match.groups()] if match else []
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not seconds:
        raise InputError(f"--time: expected a time above 0, such as 90s, 10m or 1h30m, got '{text}'")
    if seconds > LONGEST_TIME:
        raise InputError(f"--time: expected at most a year ({LONGEST_TIME / 3600:.0f}h), got '{text}'")
    return seconds


def train_own_classes(arguments: Sequence[str], *, fit_module: str) -> None:
    """Read the options, and run all steps; `fit_module` is the module whose command has the action `fit`."""
    settings = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the commands of the steps write to it too
    OwnClasses(settings, fit_module=fit_module).run()


class OwnClasses:
    """A training of own classes: its data, its folder and its steps.

    Args:
        options: the options of `build_parser`.
        fit_module: the module whose command trains a network.

    Raises:
        InputError: naming the folder, if there is no data that can be used.
    """

    def __init__(self, options: Namespace, *, fit_module: str) -> None:
        self.options = options
        self.fit_module = fit_module
        self.started = time.monotonic()
        self.seconds = seconds_of(options.time)
        self.data = Path(options.data)
        self.folder = DetectorFolder(Path(options.output or f"{self.data.resolve().name}-detector"))
        if not options.data:
            raise InputError("expected a folder of data, got an empty name")
        if self.folder.root.resolve().is_relative_to(self.data.resolve()):
            raise InputError(f"{self.folder.root}: expected a folder outside of the data; choose another --output")
        self.dataset = read_data(self.data, options)

    def run(self) -> None:
        """Run the steps that are not done yet, each of which goes on where it stopped."""
        options, folder = self.options, self.folder
        print("1/5 data")
        summary = summarise(self.dataset).lines()
        print("\n".join(f"    {line}" for line in summary))
        kept = {name: options[name] for name in ("time", "size", "members", "seed", "layout", "loggers")}
        folder.claim(kept, data_checksum(self.dataset))
        if folder.detector_file.exists():
            self.require_unchanged()
            print("\n".join([f"{folder.root}: this detector is finished", *next_commands(folder, self.data)]))
            return
        print(f"2/5 settings: {self.plan()}")
        if options.dry_run:
            print(f"{folder.training_file}: change it if you like, and run the command again without --dry-run")
            return
        self.require_unchanged()
        print("3/5 proposals: finding boxes that may hold an object in each training picture")
        make_proposals(folder, self.data)
        print(f"4/5 training: {options.members} network{'s' if options.members > 1 else ''}")
        decode = fits_decoded(self.dataset.read_entries("train"))
        for member in range(1, options.members + 1):
            seed = options.seed + member - 1
            train_member(folder, self.data, member, seed=seed, decode=decode, fit_module=self.fit_module)
        print("5/5 figures: the thresholds are chosen, and the detector is measured")
        results = self.measure()
        write_summary(folder, results, data_lines=summary, options=vars(options))
        self.write_detector(results["val"].detector)
        for split, result in results.items():
            print(f"{folder.root}: {result.line(split)}")
        for warning in results["val"].report["warnings"]:
            print(f"{folder.root}: {warning}")
        print("\n".join([f"{folder.root}: report.html has all figures", *next_commands(folder, self.data)]))

    def require_unchanged(self) -> None:
        """Check that training.yaml has not changed since files were made with it; it may be deleted in the end."""
        if self.folder.training_file.exists():
            require_unchanged(self.folder, read_yaml(self.folder.training_file), members=self.options.members)

    def plan(self) -> str:
        """Write the start weights and the settings, unless they are there; return a line about them."""
        folder, options, size = self.folder, self.options, SIZES[self.options.size]
        planned = folder.training_file.exists()
        if not (planned and folder.start_weights.exists()):
            network, description = start_for_classes(find_weights(START), self.dataset.class_names)
            start = replace(description, input_size=size.input_size, context=size.context)
            save_weights(folder.start_weights, network, start)
        if planned:
            return f"those in {folder.training_file}"
        values: dict[str, Any] = {"seed": options.seed, "input_size": size.input_size, "context": size.context}
        values |= {"budget": size.proposals, "class_names": json.dumps(self.dataset.class_names, ensure_ascii=False)}
        values |= {"layout": self.dataset.layout, "loggers": json.dumps(options.loggers)}
        detector = build_stages(yaml.safe_load(settings_text(values)), [str(folder.start_weights)])
        speed = measure_speed(network, detector, self.dataset.read("train"), size)
        counts = {split: len(self.dataset.read(split)) for split in self.dataset.splits}
        passed = time.monotonic() - self.started
        plan = plan_steps(
            speed,
            seconds=self.seconds - passed,
            learned=counts["train"],
            measured=sum(counts.values()) - counts["train"],
            members=options.members,
        )
        if passed + plan.seconds > self.seconds:
            minutes = math.ceil((passed + plan.seconds) / 60)
            print(
                f"    --time {options.time} is too short: the command makes at least {FEWEST_STEPS} steps for each "
                f"network, because fewer would hardly teach it anything. It will take about {minutes} minutes."
            )
        limit = timedelta(seconds=round(max(self.seconds, 2 * plan.steps * plan.step_seconds)))
        values |= {"max_steps": plan.steps, "batch_size": plan.batch, "precision": speed.precision}
        values |= {"max_time": f'"{clock(limit)}"'}
        write_atomically(folder.training_file, settings_text(values).encode("utf-8"))
        enough = ", which are enough for so few pictures" * (plan.steps == enough_steps(counts["train"], plan.batch))
        steps = f"{plan.steps} steps of {plan.batch} pictures for each network{enough}"
        return f"{steps}; a step takes {plan.step_seconds:.2f} s; the settings are in {folder.training_file}"

    def measure(self) -> dict[str, SplitResult]:
        """Choose the settings of the detector on "val"; return its results on "val", and on "test" if there is one."""
        folder = self.folder
        weights = [str(folder.root / name) for name in self.weights()]
        detector = build_stages(read_yaml(folder.training_file), weights)
        scored = {
            split: score_split(detector, self.dataset, split) for split in self.dataset.splits if split != "train"
        }
        chosen = choose_settings(detector, scored["val"], RULE)
        return {split: SplitResult.of(chosen, images, RULE) for split, images in scored.items()}

    def weights(self) -> list[str]:
        """Return the names of the weights of all members."""
        return [self.folder.member_name(member) for member in range(1, self.options.members + 1)]

    def write_detector(self, chosen: Detector) -> None:
        """Write detector.yaml, which says that the detector is finished."""
        text = detector_yaml(read_yaml(self.folder.training_file), self.weights(), chosen)
        write_atomically(self.folder.detector_file, text.encode("utf-8"))


def clock(time_limit: timedelta) -> str:
    """Return a time in the form of Lightning's `max_time`, days:hours:minutes:seconds."""
    hours, rest = divmod(time_limit.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{time_limit.days:02}:{hours:02}:{minutes:02}:{seconds:02}"


def data_checksum(dataset: LabelledFolder) -> str:
    """Return a text that differs between data of different pictures, boxes or classes."""
    checksums = [f"{split} {checksum_of(dataset.read(split)):08x}" for split in dataset.splits]
    return ", ".join([*dataset.class_names, *checksums])


def read_data(data: Path, options: Namespace) -> LabelledFolder:
    """Return the data of a folder with the classes that have a box to learn from.

    Raises:
        InputError: naming the folder, if its layout is not recognised, or there are no pictures to train or measure on.
    """
    dataset = LabelledFolder(data, layout=options.layout)
    for split in ("train", "val"):
        if split not in dataset.splits:
            raise InputError(f"{data}: expected pictures to train on and to measure on, got none in split '{split}'")
    records = dataset.read("train")
    labels = {label for record in records for label in record.labels[~record.ignored].tolist()}
    if len(labels) == len(dataset.class_names):
        return dataset
    learned = [name for label, name in enumerate(dataset.class_names) if label in labels]
    return LabelledFolder(data, layout=options.layout, class_names=learned)
