"""Compare two results on one split: is the difference more than chance?

python -m tools.evaluate compare runs/a/evaluation/val-1234abcd runs/b/evaluation/val-5678abcd
python -m tools.evaluate compare a.json b.json --ground-truth instances_val.json --rule coco

A result is the folder of a run, the JSON that `run` or `score` wrote, or a file of detections with --ground-truth.
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
from tools.command.output_file import prepare_output
from tools.measure.evaluate import score as evaluate_score
from tools.measure.evaluate.input import add_ground_truth_options, parse, warn
from tools.measure.evaluate.score import RuleName
from tools.report.analysis import number
from tools.report.score_report import bounds, write_json

SHOWN = 10
"""Of the classes that were surely won or lost, so many are printed of each."""


def build_parser() -> ArgumentParser:
    """The options of the action."""
    parser = ArgumentParser(prog="python -m tools.evaluate compare", description="Compare two results on one split.")
    parser.add_argument("first", type=str)
    parser.add_argument("second", type=str)
    parser.add_argument("--rule", type=RuleName | None, default=None, help="default: that of the results")
    add_ground_truth_options(parser, required=False)
    parser.add_argument("--json", type=str | None, default=None, help="file for the comparison")
    parser.add_argument("--resamples", type=PositiveInt, default=RESAMPLES, help="of the bootstrap")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and return the exit status; raises `InputError`."""
    parser = build_parser()
    settings = parse(parser, arguments)
    json_file = prepare_output(settings.json) if settings.json is not None else None
    first, second = (read_result(Path(name), settings) for name in (settings.first, settings.second))
    draws = draw_images(len(first.objects.index.image_ids), resamples=settings.resamples)
    try:
        comparison = compare(first, second, draws)
    except ValueError as error:
        raise InputError(f"{settings.first}, {settings.second}: {error}") from None
    report = build_report(comparison, first, settings.resamples)
    print(format_report(report))
    write_json(json_file, report)
    return 0


def read_result(path: Path, settings: Namespace) -> DetectionMetrics:
    """The score of one of the results.

    Raises:
        InputError: naming the file, if it is no result, or has changed since its JSON was written.
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
    if settings.rule in (None, report["rule"]) and number(metrics.mean_average_precision) != report["mAP"]:
        raise InputError(f"{path}: expected the files that it names as they were, got another mAP from them")
    return metrics


def _score_run(folder: Path, rule: str | None, images: Sequence[str] | None = None) -> DetectionMetrics:
    results = read_results(folder / NAME)
    if images is not None:
        results = results._replace(images={name: results.images[name] for name in images if name in results.images})
    objects, detections = select_results(results, read_coco_ground_truth(folder / GROUND_TRUTH_NAME), folder / NAME)
    if not objects.index.image_ids:
        raise InputError(f"{folder / NAME}: expected results of images, got none; go on with the run")
    warn(objects, detections)
    return score(objects, detections, rule or str(results.settings["rule"]))


def _score_source(source: dict[str, Any]) -> DetectionMetrics:
    """Do what `score` did with these options."""
    parser = evaluate_score.build_parser()
    settings = parser.parse_object({name: source.get(name) for name in evaluate_score.SOURCE})
    return evaluate_score.score_settings(parser, settings)[0]


def _read_report(path: Path) -> dict[str, Any] | None:
    """The JSON of a score, None for another file.

    Raises:
        InputError: naming the file, if it is missing.
    """
    if path.is_dir():
        return None
    try:
        with path.open("rb") as file:
            if file.read(1) != b"{":
                return None
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: expected a result: {error.strerror}") from None
    except ValueError:
        return None
    return content if isinstance(content.get("source"), dict) and {"rule", "mAP"} <= content.keys() else None


def build_report(comparison: Comparison, metrics: DetectionMetrics, resamples: int) -> dict[str, Any]:
    """The comparison for JSON; classes without objects are left out."""
    classes: dict[str, dict[str, Any]] = {
        name: {"difference": float(difference), "interval": bounds(interval), "sure": bool(sure)}
        for name, difference, interval, sure in zip(
            comparison.class_names,
            comparison.differences,
            comparison.class_intervals,
            comparison.surely,
            strict=True,
        )
        if not np.isnan(difference)
    }
    return {
        "rule": metrics.rule,
        "images": len(metrics.objects.index.image_ids),
        "mAP": [number(comparison.first), number(comparison.second)],
        "difference": number(comparison.difference),
        "interval": bounds(comparison.interval),
        "share_better": number(comparison.share_better),
        "won": [name for name, one in classes.items() if one["difference"] > 0],
        "lost": [name for name, one in classes.items() if one["difference"] < 0],
        "classes": classes,
        "bootstrap": {"confidence": CONFIDENCE, "resamples": resamples, "seed": SEED},
    }


def format_report(report: dict[str, Any]) -> str:
    """What is printed of a comparison."""
    if report["difference"] is None:
        return "mAP: unknown, there are no objects"
    (first, second), (low, high) = report["mAP"], report["interval"]
    classes = report["classes"]
    sure = {name: one for name, one in classes.items() if one["sure"]}
    lines = [
        f"mAP ({report['rule']}): {first:.4f} and {second:.4f} on {report['images']} images",
        f"difference {report['difference']:+.4f} [{low:+.4f}, {high:+.4f}] ({CONFIDENCE:.0%} paired bootstrap)",
        f"the second is better in {report['share_better']:.1%} of the resamples",
        f"classes won {len(report['won'])}, lost {len(report['lost'])}, of {len(classes)}; intervals of "
        f"{len(sure)} leave out 0, where chance alone would bring about {(1 - CONFIDENCE) * len(classes):.0f}",
    ]
    best_first = sorted(sure, key=lambda name: -sure[name]["difference"])
    won = [name for name in best_first if sure[name]["difference"] > 0][:SHOWN]
    lost = [name for name in best_first if sure[name]["difference"] < 0][-SHOWN:]
    width = max(map(len, won + lost), default=0)
    for name in won + lost:
        low, high = sure[name]["interval"]
        lines.append(f"  {name:{width}}  {sure[name]['difference']:+.4f} [{low:+.4f}, {high:+.4f}]")
    return "\n".join(lines)
