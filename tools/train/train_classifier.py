"""Train a region classifier with Lightning, and export its weights.

detect-train fit --config tiny_imagenet.yaml --data FOLDER
detect-train fit --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt   # resume
detect-train validate --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt
detect-train test --config ... --data FOLDER --ckpt_path ... --test_split test
detect-train export --config ... --data FOLDER --ckpt_path ... --weights my.safetensors

The actions are in `tools.train.runs.training_run`, the network and its data in `tools.train.runs.classifier_run`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from detection.runtime.tensor_file import Storage
from tools.command.entry_point import command
from tools.command.experiment import add_experiment_options
from tools.command.option_parser import OptionParser
from tools.train.runs.classifier_run import ClassifierRun
from tools.train.runs.training_run import add_action_options

ACTIONS = frozenset(("fit", "validate", "test", "export"))


def build_parser() -> OptionParser:
    """Return the parser of all actions; every option but the action can stand in the YAML file of `--config`."""
    parser = OptionParser(prog="detect-train", description="Train a region classifier.")
    add_action_options(parser, *sorted(ACTIONS))
    add_experiment_options(parser, detector_required=False)
    parser.add_argument(
        "--stored_as", type=Storage, default="float16", help="number type of the exported weights; int8 halves the file"
    )
    return parser


@command("detect-train")
def main(arguments: Sequence[str]) -> None:
    """Run one action of a training run of a classifier."""
    parser = build_parser()
    ClassifierRun(parser, parser.parse_args(arguments)).act()


if __name__ == "__main__":
    sys.exit(main())
