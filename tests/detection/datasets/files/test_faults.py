from __future__ import annotations

import pytest

from detection.datasets.files.faults import Faults
from detection.errors import LONGEST_LINE, InputError


def test_the_first_fault_is_raised_with_its_place() -> None:
    with pytest.raises(InputError, match=r"^a\.txt:3: expected a number$") as caught, Faults().at("a.txt:3"):
        raise InputError("expected a number")
    assert caught.value.__cause__ is None


def test_faults_are_kept_in_their_order() -> None:
    faults = Faults(keep=True)
    for place in ("a.txt:1", ""):
        with faults.at(place):
            raise InputError("expected a number")
    faults.report(InputError("b.txt: missing"))
    assert [str(fault) for fault in faults.errors] == [
        "a.txt:1: expected a number",
        "expected a number",
        "b.txt: missing",
    ]


def test_place_is_looked_up_only_for_a_fault() -> None:
    asked: list[str] = []

    def place() -> str:
        asked.append("asked")
        return "slow.xml:7"

    faults = Faults(keep=True)
    with faults.at(place):
        pass
    assert asked == []
    with faults.at(place):
        raise InputError("expected a number")
    assert [str(fault) for fault in faults.errors] == ["slow.xml:7: expected a number"]


@pytest.mark.parametrize("keep", [False, True])
def test_faults_of_the_program_are_none_of_the_data(keep: bool) -> None:
    faults = Faults(keep=keep)
    with pytest.raises(ZeroDivisionError), faults.at("a.txt"):
        _ = 1 / 0
    assert faults.errors == []


def test_message_is_one_line_also_from_a_loader_process() -> None:
    error = InputError("a\nb.jpg: expected a file")
    traceback = f"Original Traceback:\n  raise error\n{InputError.__module__}.InputError: {error}\n"
    wrapped = InputError(f"Caught InputError in DataLoader worker process 0.\n{traceback}")
    assert error.line == wrapped.line == "a b.jpg: expected a file"


def test_message_has_an_end_and_moves_no_cursor() -> None:
    error = InputError(f"{'a' * 5000}\x1b[2J\u202e.jpg: expected a file")
    assert len(error.line) <= LONGEST_LINE
    assert error.line.startswith("aaa")
    assert error.line.endswith("a\\x1b[2J\\u202e.jpg: expected a file")
    assert InputError("é 漢 😀 👩\u200d🚀.jpg: expected a file").line == "é 漢 😀 👩\u200d🚀.jpg: expected a file"
