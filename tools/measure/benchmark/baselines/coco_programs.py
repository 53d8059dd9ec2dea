"""The programs that `detect-benchmark evaluation` compares by COCO's rule, from files to figures.

The others have the interface of pycocotools: a class for annotations and a class for the evaluation.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detection.evaluation import score
from detection.evaluation.rules import COCO_AT_HALF
from detection.formats.detections import read_detections
from detection.formats.ground_truth import read_coco_ground_truth
from detection.structures.arrays import Float64Array

OURS = "this project"

MODULES = {
    "hotcoco": ("hotcoco", "hotcoco", "COCOeval"),
    "faster-coco-eval": ("faster_coco_eval", "faster_coco_eval", "COCOeval_faster"),
    "pycocotools": ("pycocotools.coco", "pycocotools.cocoeval", "COCOeval"),
}
"""Of each other program the modules of its class `COCO` and of its evaluation, and the name of the latter."""

SCRIPT = """import sys
from {data_module} import COCO
from {module} import {evaluation}
truth = COCO(sys.argv[1])
run = {evaluation}(truth, truth.loadRes(sys.argv[2]), "bbox")
run.evaluate()
run.accumulate()
run.summarize()
"""
"""What a user of one of the other programs writes."""

Files = tuple[Path, Path]
"""The files of the ground truth and of the detections."""


class CocoProgram(NamedTuple):
    """A program that scores by COCO's rule.

    `read` returns the tables of two files. `evaluate` returns the twelve figures of the rule for tables, -1 where they
    cannot be measured, and `evaluate_half` the average precision of each class at an IoU of 0.5 for objects of any
    size, -1 without objects. `command` runs a new process from the files to printed figures.
    """

    read: Callable[[Files], Any]
    evaluate: Callable[[Any], Float64Array]
    evaluate_half: Callable[[Any], Float64Array]
    command: Callable[[Files], None]


def coco_programs() -> dict[str, CocoProgram]:
    """Return the programs that are installed, by name."""
    programs = {OURS: CocoProgram(_read, _evaluate, _evaluate_half, _run_command)}
    for name, (data_module, module, evaluation) in MODULES.items():
        with contextlib.suppress(ImportError):
            coco = importlib.import_module(data_module).COCO
            evaluator = getattr(importlib.import_module(module), evaluation)
            script = SCRIPT.format(data_module=data_module, module=module, evaluation=evaluation)
            programs[name] = CocoProgram(
                partial(_read_by, coco),
                partial(_evaluate_by, evaluator),
                partial(_evaluate_half_by, evaluator),
                partial(_run_script, script),
            )
    return programs


def _read(files: Files) -> Any:
    objects = read_coco_ground_truth(files[0])
    return objects, read_detections(files[1], objects)


def _evaluate(tables: Any) -> Float64Array:
    objects, detections = tables
    return np.nan_to_num(list(score(objects, detections, "coco").details.values()), nan=-1)


def _evaluate_half(tables: Any) -> Float64Array:
    objects, detections = tables
    return np.nan_to_num(score(objects, detections, COCO_AT_HALF).average_precision, nan=-1)


def _run_script(script: str, files: Files) -> None:
    _run("-c", script, *map(str, files))


def _run_command(files: Files) -> None:
    truth, results = map(str, files)
    options = ["--rule", "coco", "--ground-truth", truth, "--detections", results, "--resamples", "0"]
    _run("-m", "tools.measure.evaluate", "score", *options)


def _read_by(coco: Any, files: Files) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco(str(files[0]))
        return truth, truth.loadRes(str(files[1]))


def _evaluate_by(evaluator: Any, tables: Any) -> Float64Array:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = evaluator(*tables, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats[:12], np.float64)


def _evaluate_half_by(evaluator: Any, tables: Any) -> Float64Array:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = evaluator(*tables, "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])
    return np.asarray(precision[0, :, :, 0, 0].mean(axis=0))


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
