"""Progress as a bar in a terminal, and as lines elsewhere."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest

from detection.training import progress
from detection.training.progress import show_progress


def count_to_3(**options: Any) -> None:
    with show_progress(total=3, desc="counting", unit="sheep", **options) as shown:
        for _ in range(3):
            shown.update()


def test_lines_without_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    count_to_3()
    lines = capsys.readouterr().err.splitlines()
    assert [line[:16] for line in lines] == [f"counting: {count} of 3" for count in range(4)]
    assert re.fullmatch(r"counting: 2 of 3 \(sheep\), \d\d:\d\d so far, about \d\d:\d\d left", lines[2])


def test_short_work_prints_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    count_to_3()
    assert capsys.readouterr().err == ""


def test_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    count_to_3()
    assert re.search(r"\rcounting: 100%.* 3/3 ", terminal.getvalue())


def test_disabled(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    count_to_3(disable=True)
    assert capsys.readouterr().err == ""
