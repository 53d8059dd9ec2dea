"""The text of the page of a report."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from detection.evaluation import DetectionMetrics
from tests.tools.report.report_examples import CLASSES, IMAGES
from tools.command.output_file import OutputFile
from tools.report.gallery import Gallery
from tools.report.page import page, write_page


class Elements(HTMLParser):
    """The elements of a page, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script":
            self.scripts.append(data)


def test_page_needs_no_other_file(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    elements = Elements(text)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert [attributes["href"] for tag, attributes in elements.found if "href" in attributes] == ["data:,"]
    assert not [attributes for _, attributes in elements.found if "src" in attributes]
    assert set(re.findall(r"{{.*?}}", text)) == {"{{script}}"}  # that of the class's name


def test_hostile_names_stay_data(page_file: Path, full_report: dict[str, Any]) -> None:
    data = json.loads(Elements(page_file.read_text(encoding="utf-8")).scripts[0])
    assert list(data["report"]["AP"]) == list(CLASSES)
    assert set(data["pictures"]) == set(IMAGES)
    assert data["report"]["AP"] == full_report["AP"]


def test_warnings_name_the_command(
    hostile_metrics: DetectionMetrics, full_report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, name in (("detect-train", "detect-train"), ("detect-evaluate score", "detect-evaluate")):
        write_page(
            OutputFile(tmp_path / "a.html", command), full_report, hostile_metrics, lambda _: Path("missing.jpg")
        )
        assert capsys.readouterr().err.startswith(f"{name}: warning: missing.jpg")


def test_missing_picture_is_a_warning(page_file: Path) -> None:
    data = json.loads(Elements(page_file.read_text(encoding="utf-8")).scripts[0])
    assert data["report"]["warnings"] == [
        "classes <b>without</b> objects",
        f"{page_file.parent / '1.png'}: expected a readable image, got: No such file or directory",
    ]
    assert data["pictures"]["two"]["picture"] is None
    assert data["pictures"]["one"]["picture"].startswith("data:image/jpeg;base64,")


def test_names_of_sources_without_their_folders(full_report: dict[str, Any]) -> None:
    source = {"detections": "/home/someone/found.json", "ground_truth": "/data/truth.json", "blacklist": None}
    text = page(full_report | {"source": source}, Gallery({}, []), made_by="")
    assert '"source":"found.json, truth.json"' in text
    assert "someone" not in text
