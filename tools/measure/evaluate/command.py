"""The command `detect-evaluate`, whose first argument names an action.

detect-evaluate DATA --config my-detector --split test
detect-evaluate run --config tiny_imagenet.yaml --data FOLDER --split val
detect-evaluate score --rule coco --ground-truth instances_val.json --detections results.json
detect-evaluate compare RESULT_A RESULT_B
detect-evaluate convert --ground-truth instances_val.json --detections results.json --to ilsvrc --output FILE

Without an action, any detector is measured on a folder of data in any usual layout, such as one of `detect-train DATA`.
`run` runs a detector on a split and scores its detections, `score` scores detections in a file, `compare` tells whether
the difference of two results is more than chance, and `convert` writes detections in another format. Each action is a
module of this package. Only `run` imports PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from detection.configuration import (
    DETECTOR_FILE,
    find_config,
    load_detector,
    read_class_names,
    read_yaml,
)
from detection.errors import InputError
from tools.command.entry_point import command, run_action
from tools.command.option_parser import OptionParser
from tools.command.options import Workers, add_detector_options, add_layout_option, add_limit_option
from tools.command.output_file import add_output_options

SMALLEST_SCORE = 0.001
"""Detections with a lower score do not change average precision, and there are very many of them."""

OWN_DATA = "; or: detect-evaluate DATA [--config DETECTOR], for a folder of data in any usual layout"

ACTIONS = {action: f"tools.measure.evaluate.{action}" for action in ("run", "score", "compare", "convert")}


@command("detect-evaluate")
def main(arguments: Sequence[str]) -> int | None:
    """Run the action that the first argument names."""
    if arguments[:1] in ([], ["-h"], ["--help"]) or arguments[0] in ACTIONS:
        return run_action("detect-evaluate", ACTIONS, arguments, more=OWN_DATA)
    return run_action("detect-evaluate", ACTIONS, ["run", *own_data_arguments(arguments)])


def own_data_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of `run` that measure a detector on a folder of data.

    Raises:
        InputError: if there is no such folder of data, or `--config` is not a detector.
    """
    parser = OptionParser(prog="detect-evaluate", description="Measure a detector on a folder of pictures with boxes.")
    parser.add_argument("data", type=str, help="folder of pictures with boxes, in any usual layout")
    add_layout_option(parser)
    add_detector_options(parser)
    parser.add_argument("--split", type=str, default="val", help="split to measure on: train, val, test or all")
    add_limit_option(parser)
    parser.add_argument("--workers", type=Workers | None, help="threads that read images and propose; default: 1")
    add_output_options(parser, "json", "html")
    is_word = not arguments[0].startswith("-") and {"-h", "--help"}.isdisjoint(arguments)
    if is_word and not Path(arguments[0]).is_dir():
        raise InputError(f"{arguments[0]}: expected a folder of data, or an action: {', '.join(ACTIONS)}")
    settings = parser.parse_args(arguments)
    file = find_config(settings.config, DETECTOR_FILE)
    named = experiment_of(file) | {
        "detector": json.dumps(read_yaml(file)),
        # Average precision takes all detections into account, also those below the score from which on they are shown.
        "detector.score_threshold": SMALLEST_SCORE,
        "rule": "voc",
    }
    names = ("data", "split", "limit", "workers", "device", "json", "html")
    passed_on = {name: settings[name] for name in names if settings[name] is not None}
    if settings.layout is not None:
        passed_on["dataset.layout"] = settings.layout
    overwrite = ["--overwrite"] if settings.overwrite else []
    return [f"--{name}={value}" for name, value in (named | passed_on).items()] + overwrite


def experiment_of(file: Path) -> dict[str, object]:
    """Return the options of `run` that say how to read the data for a detector, and where to keep its detections.

    `detect-train` writes a file of them beside its detectors. For another detector, boxes of classes that it does not
    know are left out.
    """
    training = file.with_name("training.yaml")
    if file.name == DETECTOR_FILE and training.is_file():
        return {"config": training, "output": file.parent / "work"}
    class_names = {"class_names": list(read_class_names(file) or load_detector(file).class_names)}
    dataset = {"class_path": "detection.datasets.LabelledFolder", "init_args": class_names}
    return {"dataset": json.dumps(dataset), "output": "runs"}
