"""The help of an option says in words what values it takes."""

from typing import Any, Literal

import pytest
from jsonargparse.typing import ClosedUnitInterval, PositiveInt

from tools.command.help_text import in_words
from tools.command.option_parser import OptionParser
from tools.command.options import Seed, whole


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (str, ""),
        (bool, ""),
        (int, "whole number"),
        (float | None, "number"),
        (whole(1, 5000) | None, "whole number, at least 1, at most 5000"),
        (Seed, "whole number, at least 0"),
        (PositiveInt, "whole number, more than 0"),
        (ClosedUnitInterval, "number, at least 0, at most 1"),
        (Literal["red", "green"] | None, "red | green"),
    ],
)
def test_types_in_words(kind: Any, words: str) -> None:
    assert in_words(kind) == words


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (whole(1, 9), "0", "expected a whole number, at least 1, at most 9, got 0"),
        (whole(1, 9) | None, "2.5", "expected a whole number, at least 1, at most 9, got 2.5"),
        (PositiveInt, "two", "expected a whole number, more than 0, got two"),
        (int, "2.5", "expected a whole number, got 2.5"),
        (Literal["red", "green"] | None, "blue", "expected red | green, got blue"),
    ],
)
def test_wrong_values_are_told_in_words(
    kind: Any, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = OptionParser(prog="detect-something")
    parser.add_argument("--count", type=kind)
    with pytest.raises(SystemExit):
        parser.parse_args(["--count", value])
    assert capsys.readouterr().err == (
        f"detect-something: --count: {expected}; detect-something --help lists the options\n"
    )


def test_notes_behind_the_help_of_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OptionParser(prog="detect-something")
    parser.add_argument("--needed", type=str, required=True, help="a name")
    parser.add_argument("--count", type=int, default=0, help="a count")
    parser.add_argument("--limit", type=int | None, help="a limit; default: all")
    parser.add_argument("--kinds", type=str, nargs="+", choices=["red", "green"], help="some kinds")
    parser.add_argument("--quiet", action="store_true", help="a switch")
    parser.print_help()
    text = " ".join(capsys.readouterr().out.split())
    for line in (
        "--needed NEEDED a name (required)",
        "--count COUNT a count (whole number, default: 0)",
        "--limit LIMIT a limit; default: all (whole number)",
        "{red,green} [{red,green} ...] some kinds --quiet",
    ):
        assert line in text
    assert text.endswith("--quiet a switch")
