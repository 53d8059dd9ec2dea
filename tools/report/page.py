"""A report as one HTML file that contains everything it needs: style, scripts, figures and pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from detection.evaluation import DetectionMetrics
from detection.formats.web_page.page import build_page
from detection.runtime.atomic_write import write_atomically
from tools.command.output_file import OutputFile
from tools.report.gallery import FindImage, Gallery, build_gallery

ASSETS = Path(__file__).with_name("assets")
SCRIPTS = ("charts.js", "classes.js", "gallery.js", "page.js")


def write_page(file: OutputFile, report: dict[str, Any], metrics: DetectionMetrics, find_image: FindImage) -> None:
    """Write the page of a report. Pictures that cannot be read are named on the page and on standard error.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    gallery = build_gallery(metrics, report, find_image)
    for warning in gallery.warnings:
        print(f"{file.command.split()[0]}: warning: {warning}", file=sys.stderr)
    write_atomically(file.path, page(report, gallery, made_by=file.made_by).encode("utf-8"))


def page(report: dict[str, Any], gallery: Gallery, *, made_by: str) -> str:
    """Return the page of a report that `build_report` made; it leaves out sections that the report does not have."""
    shown = report | {"warnings": [*report["warnings"], *gallery.warnings], "source": source_names(report)}
    return build_page(
        ASSETS / "page.html",
        style=ASSETS / "page.css",
        scripts=[ASSETS / name for name in SCRIPTS],
        data={"report": shown, "pictures": gallery.pictures},
        made_by=made_by,
    )


def source_names(report: dict[str, Any]) -> str:
    """Return the names of the scored files, without their folders."""
    source = report.get("source", {})
    named = [source[key] for key in ("results", "detections", "ground_truth") if source.get(key)]
    return ", ".join(Path(name).name for name in named)
