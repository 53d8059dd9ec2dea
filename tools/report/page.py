"""A report as one HTML file that contains everything it needs: style, scripts, figures and pictures."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from detection.evaluation import DetectionMetrics
from detection.runtime.atomic_write import write_atomically
from tools.command.output_file import OutputFile
from tools.report.gallery import FindImage, Gallery, build_gallery

ASSETS = Path(__file__).with_name("assets")
SCRIPTS = ("elements.js", "charts.js", "classes.js", "gallery.js", "page.js")
"""These files are joined to the only script of the page, so each may use the definitions of those before it."""


def write_page(file: OutputFile, report: dict[str, Any], metrics: DetectionMetrics, find_image: FindImage) -> None:
    """Write the page of a report. Pictures that cannot be read are named on the page and on standard error.

    Raises:
        InputError: naming the file, if it cannot be written.
    """
    gallery = build_gallery(metrics, report, find_image)
    for warning in gallery.warnings:
        print(f"detect-evaluate: warning: {warning}", file=sys.stderr)
    write_atomically(file.path, page(report, gallery, made_by=file.made_by).encode("utf-8"))


def page(report: dict[str, Any], gallery: Gallery, *, made_by: str) -> str:
    """Return the page of a report that `build_report` made; it leaves out sections that the report does not have."""
    shown = report | {"warnings": [*report["warnings"], *gallery.warnings], "source": source_names(report)}
    style = _asset("page.css")
    script = "\n".join(_asset(name) for name in SCRIPTS)
    parts = {
        "made_by": made_by,
        "policy": content_policy(style, script),
        "style": style,
        "script": script,
        "data": embedded_json({"report": shown, "pictures": gallery.pictures}),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda marker: parts[marker[1]], _asset("page.html"))


def source_names(report: dict[str, Any]) -> str:
    """Return the names of the scored files, without their folders."""
    source = report.get("source", {})
    named = [source[key] for key in ("results", "detections", "ground_truth") if source.get(key)]
    return ", ".join(Path(name).name for name in named)


def embedded_json(content: Any) -> str:
    """Return JSON without the character <, so that no text in it can end the script element around it."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def content_policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows a browser only this script and style, and to load nothing."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
