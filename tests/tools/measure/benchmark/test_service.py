"""The benchmark of the service sends requests to services that score photos together and one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools.serve.fake_service import FAULTY, FakeStages, fake_detector, photo
from tools.measure.benchmark import command as benchmark
from tools.measure.benchmark import service


def test_requests_with_and_without_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = FakeStages()
    monkeypatch.setattr(service, "load_detector", lambda *_: fake_detector(stages))
    (tmp_path / "a.png").write_bytes(photo(255))
    target = tmp_path / "out.json"
    options = ["--images", str(tmp_path / "a.png"), "--clients", "4", "--requests", "8", "--repeat", "2"]
    assert benchmark.main(["service", *options, "--batches", "1", "3", "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    assert {batch: len(times) for batch, times in report["seconds"].items()} == {"1": 2, "3": 2}
    assert sum(stages.batches) == 2 * 3 * 8  # two sizes, a round that is not measured and two that are, eight requests
    assert max(stages.batches) <= 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "8 requests of 4 clients"
    assert lines[2].split()[0::2] == ["1", "1.00x"]


def test_a_refused_photo_ends_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "load_detector", lambda *_: fake_detector(FakeStages()))
    monkeypatch.setattr(service, "encode", lambda _: b"no photo")
    (tmp_path / "a.png").write_bytes(photo(blue=FAULTY))
    assert benchmark.main(["service", "--images", str(tmp_path / "a.png"), "--requests", "2"]) == 1
    assert "service: expected detections, got status 422" in capsys.readouterr().err


def test_requests_per_second() -> None:
    table = service.format_seconds({1: [4.0, 2.0, 8.0], 4: [2.0]}, 16)
    assert [line.split() for line in table.splitlines()[1:]] == [["1", "4.00", "1.00x"], ["4", "8.00", "2.00x"]]
