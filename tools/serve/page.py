"""The page of the service, on which one drops a photo and sees its boxes."""

from __future__ import annotations

from pathlib import Path

from detection.detector import Detector
from detection.formats.web_page.page import build_page, class_colours
from detection.runtime.output_file import made_by
from tools.serve.limits import Limits

ASSETS = Path(__file__).with_name("assets")

LOWEST_THRESHOLD = 0.05
"""The lowest score that the slider of the page reaches, unless the detector's own threshold is lower."""


def build_drop_page(detector: Detector, limits: Limits) -> str:
    """Return the text of the page."""
    data = {
        "classes": class_colours(detector.class_names),
        "threshold": detector.score_threshold,
        "lowest": min(detector.score_threshold, LOWEST_THRESHOLD),
        "most_bytes": limits.body_bytes,
    }
    return build_page(
        ASSETS / "page.html",
        style=ASSETS / "page.css",
        scripts=[ASSETS / "page.js"],
        data=data,
        made_by=made_by("detect-serve"),
        more_sources="connect-src 'self'",
    )
