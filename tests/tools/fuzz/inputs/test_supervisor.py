"""A worker that crashes, hangs or leaks is seen from outside, and the work goes on with the next input."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tools.fuzz.inputs import command, supervisor
from tools.fuzz.inputs.supervisor import Report, fuzz_kind

WORKER = """
import json, os, sys, time

def tell(**values):
    print(json.dumps(values), flush=True)

kind, seed, first, last = sys.argv[1], *map(int, sys.argv[2:5])
for number in range(first, last):
    tell(begin=number)
    outcome = "refused" if number == 0 else "result"
    if number == 3:
        {act}
    tell(done=number, outcome=outcome)
tell(end=last, seconds=0.5, mebibytes=7, growth={growth}, files={files})
"""


def use_worker(monkeypatch: pytest.MonkeyPatch, act: str, growth: int = 0, files: int = 0) -> None:
    code = WORKER.format(act=act, growth=growth, files=files)
    monkeypatch.setattr(supervisor, "module_command", lambda _, *arguments: [sys.executable, "-c", code, *arguments])


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("print('why', file=sys.stderr); os.abort()", r"the process ended with -6: why"),
        ("os._exit(3)", r"the process ended with 3: "),
        ("time.sleep(600)", r"no answer for 2 s"),
    ],
)
def test_a_crash_and_a_hang_name_the_input(monkeypatch: pytest.MonkeyPatch, act: str, reason: str) -> None:
    use_worker(monkeypatch, act)
    monkeypatch.setattr(supervisor, "WAIT", 20.0)
    report = fuzz_kind("voc", 0.1, seed=7, first=0, count=6)
    ((number, found),) = report.faults
    assert number == 3
    assert re.match(reason, found)
    assert report.count == 6
    assert (report.results, report.refused) == (4, 1)  # also of the second worker, which goes on with input 4


def test_faults_of_a_worker_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    use_worker(monkeypatch, "outcome = 'ValueError: a fault'", growth=1000, files=2)
    monkeypatch.setattr(supervisor, "BATCH", 4)
    report = fuzz_kind("voc", 10, seed=7, first=0, count=6)
    assert report.faults[0] == (3, "ValueError: a fault")
    leaks = [reason for _, reason in report.faults[1:]]
    assert leaks == ["the memory grew by 1000 MiB up to this input", "2 more open files up to this input"] * 2
    assert (report.count, report.results, report.refused, report.mebibytes) == (6, 4, 1, 7)


def test_no_further_batch_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    use_worker(monkeypatch, "pass")
    monkeypatch.setattr(supervisor, "BATCH", 4)
    answers = iter([False, True])
    assert fuzz_kind("voc", 10, seed=7, first=0, count=100, ended=lambda: next(answers)).count == 4


def test_the_report_has_the_command_that_repeats_an_input(capsys: pytest.CaptureFixture[str]) -> None:
    text = command.format_report(Report("voc", 10, 4, 5, faults=[(8, "ValueError: a\nfault")]), seed=26)
    assert "voc: 10 inputs, 4 gave a result, 5 were refused, 1 faults" in text
    assert "python -m tools.fuzz inputs --kinds voc --seed 26 --first 8 --count 1" in text
    assert command.main(["--kinds", "results", "--seed", "26", "--count", "3"]) == 0
    seed, line = capsys.readouterr().out.splitlines()
    assert seed == "seed 26"
    assert line.startswith("results: 3 inputs, ")


def test_a_worker_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert fuzz_kind("csv", 10, seed=1, first=0, count=5).count == 5
    assert list(tmp_path.iterdir()) == []
