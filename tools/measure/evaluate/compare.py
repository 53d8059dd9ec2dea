"""The action `compare`: compare two results on one split, and tell whether the difference is more than chance.

detect-evaluate compare runs/a/evaluation/val-1234abcd runs/b/evaluation/val-5678abcd
detect-evaluate compare a.json b.json --ground-truth instances_val.json --rule coco

A result is the folder of a run, or with --ground-truth a file of detections.

Beside the figures, the report tells how many detections are the same in both results, and how much their scores differ.
So one can see whether two ways to compute a detector, such as PyTorch and ONNX Runtime, find the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import ClosedUnitInterval

from detection.configuration import DEFAULT_CONFIG, read_yaml
from detection.errors import InputError
from detection.evaluation import RULES, DetectionMetrics, score
from detection.evaluation.agreement import Agreement, agreement
from detection.evaluation.uncertainty.bootstrap import CONFIDENCE, RESAMPLES, SEED, draw_images
from detection.evaluation.uncertainty.comparison import Comparison, compare
from detection.formats.ground_truth import read_coco_ground_truth
from detection.formats.run_results import GROUND_TRUTH_NAME, NAME, read_results, select_results
from tools.command.option_parser import OptionParser
from tools.command.options import whole
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate.input import add_ground_truth_options, parse, print_warnings
from tools.measure.evaluate.score import score_settings
from tools.report.json_values import json_interval, json_number, write_json

SHOWN = 10
"""The largest number of classes that are printed as certainly better, and as certainly worse."""


def build_parser() -> OptionParser:
    """Return the parser of the action's options."""
    parser = OptionParser(prog="detect-evaluate compare", description="Compare two results on one split.")
    parser.add_argument("first", type=str, help="a result: folder of a run, or file of detections")
    parser.add_argument("second", type=str, help="the result to compare with the first")
    add_ground_truth_options(parser, required=False)
    add_output_options(parser, "json")
    parser.add_argument("--resamples", type=whole(1, 100_000), default=RESAMPLES, help="bootstrap resamples")
    parser.add_argument(
        "--least-score",
        type=ClosedUnitInterval,
        default=read_yaml(DEFAULT_CONFIG)["score_threshold"],
        help="detections of one result from this score on are sought in the other",
    )
    return parser


def main(arguments: Sequence[str]) -> None:
    """Compare the two results, print the report, and write it.

    Raises:
        InputError: naming the file that is no result, or if the results are not on the same images.
    """
    parser = build_parser()
    settings = parse(parser, arguments)
    (json_file,) = prepare_outputs(parser, settings, "json")
    paths = [Path(name) for name in (settings.first, settings.second)]
    require_same_pictures(*(path / NAME for path in paths))
    first, second = (read_result(path, parser, settings) for path in paths)
    draws = draw_images(len(first.objects.index.image_ids), resamples=settings.resamples)
    try:
        comparison = compare(first, second, draws)
    except ValueError as error:
        raise InputError(f"{settings.first}, {settings.second}: {error}") from None
    report = build_report(comparison, first, settings.resamples)
    report["same"] = [
        agreement_report(agreement(*pair, least_score=settings.least_score))
        for pair in ((first.detections, second.detections), (second.detections, first.detections))
    ]
    print(format_report(report))
    write_json(json_file, report)


def read_result(path: Path, parser: ArgumentParser, settings: Namespace) -> DetectionMetrics:
    """Score a result by the ground truth that the user gave, or a run by that in its folder.

    Raises:
        InputError: naming the file or folder, if it cannot be scored.
    """
    is_run = (path / NAME).exists()
    if settings.ground_truth is None and is_run:
        return _score_run(path, settings.rule)
    if settings.ground_truth is None:
        raise InputError(f"{path}: expected the folder of a run; for files of detections give --ground-truth, got none")
    scored = settings.clone()
    scored.detections = str(path)
    if is_run and settings.rule is None:
        scored.rule = _rule_of(path, read_results(path / NAME).settings)
    return score_settings(parser, scored)[0]


def require_same_pictures(first: Path, second: Path) -> None:
    """Check that two files of results, if both exist, are of the same pictures, as far as they tell.

    Raises:
        InputError: naming the folders and the first image whose file was another one.
    """
    if first.exists() and second.exists():
        files = [{name: result.file for name, result in read_results(path).images.items()} for path in (first, second)]
        for name, file in files[0].items():
            other = files[1].get(name)
            if file is not None and other is not None and not file.is_same_content(other):
                raise InputError(
                    f"{first.parent}, {second.parent}: expected two results on the same images, got other content of "
                    f"image '{name}'"
                )


def _score_run(folder: Path, rule: str | None) -> DetectionMetrics:
    results = read_results(folder / NAME)
    objects, detections = select_results(results, read_coco_ground_truth(folder / GROUND_TRUTH_NAME), folder / NAME)
    if not objects.index.image_ids:
        raise InputError(f"{folder / NAME}: expected results of images, got none; go on with the run")
    print_warnings("detect-evaluate", objects, detections)
    return score(objects, detections, rule or _rule_of(folder, results.settings))


def _rule_of(folder: Path, settings: Mapping[str, Any]) -> str:
    if settings.get("rule") not in RULES:
        raise InputError(f"{folder}: expected the results of detect-evaluate run, got others; add --rule")
    return str(settings["rule"])


def build_report(comparison: Comparison, metrics: DetectionMetrics, resamples: int) -> dict[str, Any]:
    """Return the comparison as a dictionary for JSON, without the classes that have no objects."""
    columns = (comparison.class_names, comparison.differences, comparison.class_intervals, comparison.certain)
    classes: dict[str, dict[str, Any]] = {
        name: {"difference": float(difference), "interval": json_interval(interval), "sure": bool(sure)}
        for name, difference, interval, sure in zip(*columns, strict=True)
        if not np.isnan(difference)
    }
    return {
        "rule": metrics.rule,
        "images": len(metrics.objects.index.image_ids),
        "mAP": [json_number(comparison.first), json_number(comparison.second)],
        "difference": json_number(comparison.difference),
        "interval": json_interval(comparison.interval),
        "share_better": json_number(comparison.share_better),
        "won": [name for name, row in classes.items() if row["difference"] > 0],
        "lost": [name for name, row in classes.items() if row["difference"] < 0],
        "classes": classes,
        "bootstrap": {"confidence": CONFIDENCE, "resamples": resamples, "seed": SEED},
    }


def agreement_report(found: Agreement) -> dict[str, Any]:
    """Return an agreement as a dictionary for JSON."""
    largest = float(found.score_differences.max()) if len(found.score_differences) else None
    return {"detections": found.total, "found": len(found.score_differences), "largest_score_difference": largest}


def format_report(report: dict[str, Any]) -> str:
    """Return the lines that the action prints."""
    if report["difference"] is None:
        return "mAP: unknown, there are no objects"
    (first, second), (low, high) = report["mAP"], report["interval"]
    classes = report["classes"]
    certain = {name: row for name, row in classes.items() if row["sure"]}
    lines = [
        f"mAP ({report['rule']}): {first:.4f} and {second:.4f} on {report['images']} images",
        f"difference {report['difference']:+.4f} [{low:+.4f}, {high:+.4f}] ({CONFIDENCE:.0%} paired bootstrap)",
        f"the second is better in {report['share_better']:.1%} of the resamples",
        f"classes won {len(report['won'])}, lost {len(report['lost'])}, of {len(classes)}; intervals of "
        f"{len(certain)} leave out 0, where chance alone would bring about {(1 - CONFIDENCE) * len(classes):.0f}",
    ]
    for (name, other), row in zip((("first", "second"), ("second", "first")), report["same"], strict=True):
        line = f"{row['found']} of {row['detections']} detections of the {name} are also in the {other}"
        largest = row["largest_score_difference"]
        lines.append(line + ("" if largest is None else f"; their scores differ by up to {largest:.4f}"))
    best_first = sorted(certain.items(), key=lambda item: -item[1]["difference"])
    better = [item for item in best_first if item[1]["difference"] > 0][:SHOWN]
    worse = [item for item in best_first if item[1]["difference"] < 0][-SHOWN:]
    width = max((len(name) for name, _ in better + worse), default=0)
    for name, row in better + worse:
        low, high = row["interval"]
        lines.append(f"  {name:{width}}  {row['difference']:+.4f} [{low:+.4f}, {high:+.4f}]")
    return "\n".join(lines)
