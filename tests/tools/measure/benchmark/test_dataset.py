from __future__ import annotations

import sys

import pytest

from tools.measure.benchmark import command as benchmark
from tools.measure.benchmark.dataset import speed_after_start, table_row


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([20.0, 21.0, 22.0, 24.0], 3 / 4),  # one by one: three results in the four seconds after the first one
        ([20.0, 20.001, 20.002, 24.0, 24.001, 24.002], 3 / 4.002),  # in groups of three
        ([20.0, 20.5, 70.0, 120.0], 2 / 100),  # the first two belong together, as half a second is little of 100
        ([20.0, 20.001, 20.002], 0.0),  # a single group tells no speed
        ([20.0], 0.0),
    ],
)
def test_speed_does_not_count_the_first_group(times: list[float], expected: float) -> None:
    assert speed_after_start(times) == pytest.approx(expected)


@pytest.mark.parametrize("option", ["--workers", "--address"])
def test_options_of_ray_need_ray(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert benchmark.main(["dataset", "--input", "missing", option, "1"]) == 1
    assert f"detect-benchmark: {option}: expected the package ray" in capsys.readouterr().err


def test_row_without_a_speed() -> None:
    times = {"start": 1.23, "seconds": 4.56}
    assert table_row("local", {**times, "images_per_second": 0.0}) == ["local", "-", "1.2", "4.6"]
    assert table_row("ray", {**times, "images_per_second": 2.0}) == ["ray", "2.00", "1.2", "4.6"]
