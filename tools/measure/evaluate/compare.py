"""The action `compare`: compare two results on one split, and tell whether the difference is more than chance.

detect-evaluate compare runs/a/evaluation/val-1234abcd runs/b/evaluation/val-5678abcd
detect-evaluate compare a.json b.json --ground-truth instances_val.json --rule coco

A result is the folder of a run, the JSON file that `run` or `score` wrote, or with --ground-truth a file of detections.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from detection.errors import InputError
from detection.evaluation import DetectionMetrics, score
from detection.evaluation.uncertainty.bootstrap import CONFIDENCE, RESAMPLES, SEED, draw_images
from detection.evaluation.uncertainty.comparison import Comparison, compare
from detection.formats.ground_truth import read_coco_ground_truth
from detection.formats.run_results import GROUND_TRUTH_NAME, NAME, read_results, select_results
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.evaluate import score as evaluate_score
from tools.measure.evaluate.input import add_ground_truth_options, parse, print_warnings
from tools.report.json_values import json_interval, json_number, write_json

SHOWN = 10
"""The largest number of classes that are printed as certainly better, and as certainly worse."""


def build_parser() -> ArgumentParser:
    """Return the parser of the action's options."""
    parser = ArgumentParser(prog="detect-evaluate compare", description="Compare two results on one split.")
    parser.add_argument("first", type=str, help="a result: folder of a run, JSON of a score, or file of detections")
    parser.add_argument("second", type=str, help="the result to compare with the first")
    add_ground_truth_options(parser, required=False)
    add_output_options(parser, "json")
    parser.add_argument("--resamples", type=PositiveInt, default=RESAMPLES, help="bootstrap resamples")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Compare the two results, print the report, and write it.

    Raises:
        InputError: naming the file that is no result, or if the results are not on the same images.
    """
    parser = build_parser()
    settings = parse(parser, arguments)
    (json_file,) = prepare_outputs(settings, "json")
    first, second = (read_result(Path(name), settings) for name in (settings.first, settings.second))
    draws = draw_images(len(first.objects.index.image_ids), resamples=settings.resamples)
    try:
        comparison = compare(first, second, draws)
    except ValueError as error:
        raise InputError(f"{settings.first}, {settings.second}: {error}") from None
    report = build_report(comparison, first, settings.resamples)
    print(format_report(report))
    write_json(json_file, report)


def read_result(path: Path, settings: Namespace) -> DetectionMetrics:
    """Score one of the results.

    Raises:
        InputError: naming the file, if it is no result, or if the files have changed since its JSON was written.
    """
    if (path / NAME).exists():
        return _score_run(path, settings.rule)
    report = _read_report(path)
    if report is None:
        if settings.ground_truth is None:
            raise InputError(f"{path}: expected a run or the JSON of a score; for others give --ground-truth, got none")
        return _score_source(evaluate_score.source_of(settings, str(path)))
    source = report["source"]
    if "results" in source:
        return _score_run(Path(source["results"]), settings.rule or report["rule"], images=source["images"])
    metrics = _score_source(source | ({"rule": settings.rule} if settings.rule else {}))
    if settings.rule in (None, report["rule"]) and json_number(metrics.mean_average_precision) != report["mAP"]:
        raise InputError(f"{path}: expected the files that it names as they were, got another mAP from them")
    return metrics


def _score_run(folder: Path, rule: str | None, images: Sequence[str] | None = None) -> DetectionMetrics:
    results = read_results(folder / NAME)
    if images is not None:
        results = results._replace(images={name: results.images[name] for name in images if name in results.images})
    objects, detections = select_results(results, read_coco_ground_truth(folder / GROUND_TRUTH_NAME), folder / NAME)
    if not objects.index.image_ids:
        raise InputError(f"{folder / NAME}: expected results of images, got none; go on with the run")
    print_warnings("detect-evaluate", objects, detections)
    return score(objects, detections, rule or str(results.settings["rule"]))


def _score_source(source: dict[str, Any]) -> DetectionMetrics:
    """Score again what `score` scored with these options."""
    parser = evaluate_score.build_parser()
    settings = parser.parse_object({name: source.get(name) for name in evaluate_score.SOURCE})
    return evaluate_score.score_settings(parser, settings)[0]


def _read_report(path: Path) -> dict[str, Any] | None:
    """Return the content of the JSON file of a score, or None for any other file.

    Raises:
        InputError: naming the file, if it is missing.
    """
    if path.is_dir():
        return None
    try:
        with path.open("rb") as file:
            content = json.load(file) if file.peek(1)[:1] == b"{" else {}  # lists of detections may be large
    except OSError as error:
        raise InputError(f"{path}: expected a result: {error.strerror}") from None
    except ValueError:
        return None
    return content if isinstance(content.get("source"), dict) and {"rule", "mAP"} <= content.keys() else None


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
    best_first = sorted(certain.items(), key=lambda item: -item[1]["difference"])
    better = [item for item in best_first if item[1]["difference"] > 0][:SHOWN]
    worse = [item for item in best_first if item[1]["difference"] < 0][-SHOWN:]
    width = max((len(name) for name, _ in better + worse), default=0)
    for name, row in better + worse:
        low, high = row["interval"]
        lines.append(f"  {name:{width}}  {row['difference']:+.4f} [{low:+.4f}, {high:+.4f}]")
    return "\n".join(lines)
