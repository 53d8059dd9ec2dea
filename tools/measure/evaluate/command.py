"""The command `detect-evaluate`, whose first argument names an action.

detect-evaluate run --config tiny_imagenet.yaml --data FOLDER --split val
detect-evaluate score --rule coco --ground-truth instances_val.json --detections results.json
detect-evaluate compare RESULT_A RESULT_B
detect-evaluate convert --ground-truth instances_val.json --detections results.json --to ilsvrc --output FILE

`run` runs a detector on a split and scores its detections, `score` scores detections in a file, `compare` tells whether
the difference of two results is more than chance, and `convert` writes detections in another format. Each action is a
module of this package. Only `run` imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.command.entry_point import command, run_action

ACTIONS = {action: f"tools.measure.evaluate.{action}" for action in ("run", "score", "compare", "convert")}


@command("detect-evaluate")
def main(arguments: Sequence[str]) -> int | None:
    """Run the action that the first argument names."""
    return run_action("detect-evaluate", ACTIONS, arguments)
