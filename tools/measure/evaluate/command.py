"""Measure detectors: score detections, run a detector on a split, compare two results, convert files of detections.

python -m tools.evaluate run --config configs/tiny_imagenet/tiny_imagenet.yaml --data FOLDER --split val
python -m tools.evaluate score --rule coco --ground-truth instances_val.json --detections results.json
python -m tools.evaluate compare RESULT_A RESULT_B
python -m tools.evaluate convert --ground-truth instances_val.json --detections results.json --to ilsvrc --output FILE
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from detection.errors import InputError

ACTIONS = ("run", "score", "compare", "convert")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first argument names; returns the exit status."""
    action, *options = list(sys.argv[1:] if arguments is None else arguments) or [""]
    if action not in ACTIONS:
        status = 0 if action in ("-h", "--help") else 2
        usage = f"usage: python -m tools.evaluate {{{','.join(ACTIONS)}}} ...; each has a --help"
        print(usage, file=sys.stderr if status else sys.stdout)
        return status
    try:
        return _act(action, options)
    except InputError as error:
        print(f"evaluate: {error.line}", file=sys.stderr)
        return 1


def _act(action: str, options: Sequence[str]) -> int:
    """Import only what the action needs: all but `run` do without PyTorch."""
    match action:
        case "run":
            from tools.measure.evaluate import run as evaluate_run  # noqa: PLC0415

            return evaluate_run.main(options)
        case "score":
            from tools.measure.evaluate import score as evaluate_score  # noqa: PLC0415

            return evaluate_score.main(options)
        case "compare":
            from tools.measure.evaluate import compare as evaluate_compare  # noqa: PLC0415

            return evaluate_compare.main(options)
    from tools.measure.evaluate import convert as evaluate_convert  # noqa: PLC0415

    return evaluate_convert.main(options)
