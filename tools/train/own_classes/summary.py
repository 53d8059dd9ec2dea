"""Writes the files that describe a finished detector: the model card, the report, figures, curves and pictures."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from detection.detector import Detector
from detection.errors import InputError
from detection.evaluation import DetectionMetrics
from detection.evaluation.uncertainty.bootstrap import RESAMPLES
from detection.image import read_image
from detection.runtime.atomic_write import write_atomically
from tools.command.output_file import OutputFile
from tools.command.picture_file import draw_fitted, save_figure, save_picture
from tools.report.json_values import write_json
from tools.report.page import write_page
from tools.report.report_text import format_report
from tools.report.score_report import build_report
from tools.report.text_table import format_interval, format_number
from tools.train.own_classes.choice import calibration_warnings
from tools.train.own_classes.folder import DetectorFolder
from tools.train.own_classes.scored_split import ScoredSplit, all_detections
from tools.train.plot_training.training_log import SMOOTHING, read_run

COMMAND = "detect-train"

CELL = (480, 360)
"""The width and height of the space for a picture on the sheet, in pixels."""
COLUMNS, ROWS = 4, 3


class SplitResult(NamedTuple):
    """The result of a detector on a split: the scored pictures, the metrics, and the report on them."""

    detector: Detector
    images: ScoredSplit
    metrics: DetectionMetrics
    report: dict[str, Any]

    @classmethod
    def of(cls, detector: Detector, images: ScoredSplit, rule: str) -> SplitResult:
        """Measure all detections of the pictures, also those below the detector's score threshold."""
        metrics = images.measure(all_detections(detector), rule)
        report = build_report(metrics, resamples=RESAMPLES, warnings=calibration_warnings(detector))
        return cls(detector, images, metrics, report)

    def line(self, split: str) -> str:
        """Return a line with the mAP, its interval, and the number of pictures."""
        return result_line(self.report, split)


def result_line(report: Mapping[str, Any], split: str) -> str:
    """Return a line with the mAP of a report, its rule and interval, and the number of pictures.

    The rule is one that counts a box as found at an IoU of 0.5.
    """
    interval = report.get("mAP_interval", [None])
    mean = f"mAP ({report['rule']}, IoU 0.5) {format_number(report['mAP'])}"
    if None not in interval:
        mean += f", {report['bootstrap']['confidence']:.0%} interval {format_interval(interval)},"
    return f"{mean} on the {report['images']} pictures of {split}"


def write_summary(
    folder: DetectorFolder, results: Mapping[str, SplitResult], *, data_lines: Sequence[str], options: Mapping[str, Any]
) -> None:
    """Write all files that describe the detector. The curves need matplotlib, and are left out without it."""
    last = list(results)[-1]
    reports = {split: result.report for split, result in results.items()}
    write_json(OutputFile(folder.root / "figures.json", COMMAND), reports)
    paths = {entry.record.image_id: entry.record.path for entry in results[last].images.entries}
    page = OutputFile(folder.root / "report.html", COMMAND)
    write_page(page, results[last].report, results[last].metrics, paths.get)
    save_picture(draw_sheet(results[last]), OutputFile(folder.root / "pictures.png", COMMAND))
    if importlib.util.find_spec("matplotlib") is not None:
        draw_curves(folder, options["members"])
    class_names = results[last].detector.class_names
    write_atomically(folder.root / "classes.txt", "".join(f"{name}\n" for name in class_names).encode("utf-8"))
    card = model_card(folder, results, data_lines=data_lines, options=options)
    write_atomically(folder.root / "README.md", card.encode("utf-8"))


def draw_curves(folder: DetectorFolder, members: int) -> None:
    """Draw the losses of the members' training in curves.png."""
    from tools.train.plot_training.plots import draw_training  # noqa: PLC0415  matplotlib is slow, and optional

    try:
        runs = [read_run(str(folder.run_folder(member))) for member in range(1, members + 1)]
    except InputError:  # work/ was deleted, or the run was shorter than the steps between two lines of its log
        return
    save_figure(draw_training(runs, smoothing=SMOOTHING), OutputFile(folder.root / "curves.png", COMMAND))


def draw_sheet(result: SplitResult) -> PIL.Image.Image:
    """Draw pictures of a split, evenly spaced, with the boxes that the detector shows at its threshold."""
    images = list(zip(result.images.entries, result.images.images, strict=True))
    places = np.linspace(0, len(images) - 1, min(len(images), COLUMNS * ROWS)).round().astype(int)
    chosen = [images[place] for place in places]
    canvas = PIL.Image.new("RGB", (COLUMNS * CELL[0], -(-len(chosen) // COLUMNS) * CELL[1]), "white")
    for place, (entry, scored) in enumerate(chosen):
        detections = result.detector.suppress(scored.boxes, scored.scores, scored.size)
        drawn = PIL.Image.fromarray(draw_fitted(read_image(entry.record.path), detections, CELL))
        row, column = divmod(place, COLUMNS)
        margin = ((CELL[0] - drawn.width) // 2, (CELL[1] - drawn.height) // 2)
        canvas.paste(drawn, (column * CELL[0] + margin[0], row * CELL[1] + margin[1]))
    return canvas


def model_card(
    folder: DetectorFolder, results: Mapping[str, SplitResult], *, data_lines: Sequence[str], options: Mapping[str, Any]
) -> str:
    """Return the text of README.md."""
    count = len(results["val"].detector.class_names)
    shown = " ".join(f"--{name} {options[name]}" for name in ("time", "size", "members", "seed"))
    parts = [
        f"# {folder.root.name}",
        f"A detector of {count} class{'' if count == 1 else 'es'} ([classes.txt](classes.txt)), made by:",
        f"    detect-train {Path(options['data']).name} {shown}",
        "Its settings are in [training.yaml](training.yaml), its report is [report.html](report.html), and "
        "[pictures.png](pictures.png) shows what it finds. To use it:",
        "    detect --config THIS_FOLDER photo.jpg",
        "## Data",
        "\n".join(f"    {line}" for line in data_lines),
        "The network started from the shipped everyday.safetensors, which has learned from ImageNet, whose terms allow "
        "its pictures for non-commercial research, and from photographs of COCO.",
        "## Figures",
        "Average precision as PASCAL VOC defines it, at an IoU of 0.5, with 95% bootstrap intervals. The calibration "
        "and the score threshold were chosen on val, so the figures of val are a little too high.",
    ]
    parts += [f"{warning[:1].upper()}{warning[1:]}." for warning in results["val"].report["warnings"]]
    for split, result in results.items():
        parts += [f"### {split}", "\n".join(f"    {line}" for line in format_report(result.report).splitlines())]
    return "\n\n".join(parts) + "\n"


def next_commands(folder: DetectorFolder, data: Path) -> list[str]:
    """Return the commands that use and measure the detector."""
    return [
        f"detect:  detect --config {folder.root} photo.jpg",
        f"measure: detect-evaluate {data} --config {folder.root}",
    ]
