"""The command `detect-evaluate`, whose first argument names an action.

detect-evaluate DATA --config my-detector --split test
detect-evaluate run --config tiny_imagenet.yaml --data FOLDER --split val
detect-evaluate score --rule coco --ground-truth instances_val.json --detections results.json
detect-evaluate compare RESULT_A RESULT_B
detect-evaluate convert --ground-truth instances_val.json --detections results.json --to ilsvrc --output FILE

Without an action, a detector that `detect-train DATA` has made is measured on a folder of data in any usual layout.
`run` runs a detector on a split and scores its detections, `score` scores detections in a file, `compare` tells whether
the difference of two results is more than chance, and `convert` writes detections in another format. Each action is a
module of this package. Only `run` imports PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from detection.configuration import read_yaml
from detection.errors import InputError
from tools.command.entry_point import command, run_action
from tools.command.option_parser import OptionParser
from tools.command.options import add_limit_option
from tools.command.output_file import add_output_options

SMALLEST_SCORE = 0.001
"""Detections with a lower score do not change average precision, and there are very many of them."""

OWN_CLASSES = "; or: detect-evaluate DATA --config FOLDER, for a detector of detect-train"

ACTIONS = {action: f"tools.measure.evaluate.{action}" for action in ("run", "score", "compare", "convert")}


@command("detect-evaluate")
def main(arguments: Sequence[str]) -> int | None:
    """Run the action that the first argument names."""
    if arguments[:1] in ([], ["-h"], ["--help"]) or arguments[0] in ACTIONS:
        return run_action("detect-evaluate", ACTIONS, arguments, more=OWN_CLASSES)
    return run_action("detect-evaluate", ACTIONS, ["run", *own_data_arguments(arguments)])


def own_data_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of `run` that measure a detector of own classes on a folder of data.

    Raises:
        InputError: if there is no such folder of data, or `--config` is not the folder of such a detector.
    """
    parser = OptionParser(prog="detect-evaluate", description="Measure a detector of detect-train on a folder.")
    parser.add_argument("data", type=str, help="folder of pictures with boxes, in any usual layout")
    parser.add_argument("--config", type=str, required=True, help="folder that detect-train has written")
    parser.add_argument("--split", type=str, default="val", help="split to measure on: train, val, test or all")
    add_limit_option(parser)
    add_output_options(parser, "json", "html")
    is_word = not arguments[0].startswith("-") and {"-h", "--help"}.isdisjoint(arguments)
    if is_word and not Path(arguments[0]).is_dir():
        raise InputError(f"{arguments[0]}: expected a folder of data, or an action: {', '.join(ACTIONS)}")
    settings = parser.parse_args(arguments)
    folder = Path(settings.config)
    for name in ("training.yaml", "detector.yaml"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: expected the folder of a detector of detect-train, got none with {name}")
    named = {
        "config": folder / "training.yaml",
        "detector": json.dumps(read_yaml(folder / "detector.yaml")),
        # Average precision takes all detections into account, also those below the score from which on they are shown.
        "detector.score_threshold": SMALLEST_SCORE,
        "rule": "voc",
        "output": folder / "work",
    }
    names = ("data", "split", "limit", "json", "html")
    passed_on = {name: settings[name] for name in names if settings[name] is not None}
    overwrite = ["--overwrite"] if settings.overwrite else []
    return [f"--{name}={value}" for name, value in (named | passed_on).items()] + overwrite
