"""Measure speed against named baselines in the same run.

python -m tools.benchmark photos photo.jpg --repeat 5
python -m tools.benchmark proposals
python -m tools.benchmark training --config configs/tiny_imagenet/tiny_imagenet.yaml --data FOLDER
python -m tools.benchmark evaluation
python -m tools.benchmark scoring --device cuda
python -m tools.benchmark growth --plot growth.png
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tools.measure.benchmark import evaluation as benchmark_evaluation
from tools.measure.benchmark import growth as benchmark_growth
from tools.measure.benchmark import photos as benchmark_photos
from tools.measure.benchmark import proposals as benchmark_proposals
from tools.measure.benchmark import scoring as benchmark_scoring
from tools.measure.benchmark import training as benchmark_training

BENCHMARKS = {
    "photos": benchmark_photos.main,
    "proposals": benchmark_proposals.main,
    "training": benchmark_training.main,
    "evaluation": benchmark_evaluation.main,
    "scoring": benchmark_scoring.main,
    "growth": benchmark_growth.main,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark that the first argument names; returns its exit status."""
    name, *options = list(sys.argv[1:] if arguments is None else arguments) or [""]
    if name not in BENCHMARKS:
        status = 0 if name in ("-h", "--help") else 2
        usage = f"usage: python -m tools.benchmark {{{','.join(BENCHMARKS)}}} ...; each has a --help"
        print(usage, file=sys.stderr if status else sys.stdout)
        return status
    return BENCHMARKS[name](options)
