"""The fonts in which the names of classes are drawn: Pillow's own, one of the computer, or none."""

from __future__ import annotations

import logging
import os

import pytest

from detection.structures.results import fonts
from detection.structures.results.fonts import drawable_name, find_font_file, has_letters, load_font, printable

REQUIRED = bool(os.environ.get("REQUIRE_FONTS"))
"""True where the fonts of all scripts of these tests have been installed."""

NAMES = {"Cyrillic": "кот", "Arabic": "قطة", "Greek": "γάτα", "accents": "café", "Chinese": "猫", "Korean": "강아지"}


@pytest.fixture(autouse=True)
def no_names_of_other_tests() -> None:
    drawable_name.cache_clear()


@pytest.fixture(params=[*NAMES.values()], ids=[*NAMES])
def name(request: pytest.FixtureRequest) -> str:
    if find_font_file(request.param) is None and not REQUIRED:
        pytest.skip(f"no font of this computer has the letters of '{request.param}'")
    return str(request.param)


def test_letters_of_any_script_are_drawn(name: str) -> None:
    text, file = drawable_name(name, 7)
    assert text == name
    assert file is not None
    assert has_letters(file, set(name))


def test_letters_of_arabic_are_joined_and_go_from_right_to_left() -> None:
    file = find_font_file("قطة")
    if file is None and not REQUIRED:
        pytest.skip("no font of this computer has Arabic letters")
    font = load_font(file, 40)
    alone = sum(font.getlength(letter) for letter in "قطة")
    assert font.getlength("قطة") < 0.95 * alone


def test_ascii_is_drawn_in_the_font_of_pillow() -> None:
    assert drawable_name("wine bottle", 0) == ("wine bottle", None)
    assert drawable_name("wine \n bottle", 0) == ("wine bottle", None)
    assert drawable_name("", 0) == ("", None)


def test_without_a_font_accents_are_dropped_or_the_number_is_drawn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fonts, "_candidates", lambda _: iter(["no such font.ttf"]))
    assert drawable_name("Café Zoë", 3) == ("Cafe Zoe", None)
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        assert [drawable_name("猫", 3) for _ in range(2)] == [("class 3", None)] * 2
    (message,) = caplog.messages  # once, and not for every picture
    assert "'猫'" in message
    assert "class 3" in message


def test_no_font_has_letters_that_do_not_exist() -> None:
    file = find_font_file("é")
    if file is None and not REQUIRED:
        pytest.skip("no font of this computer has accents")
    assert file is not None
    assert has_letters(file, {"é"})
    assert not has_letters(file, {"é", "\U0003fffd"})
    assert not has_letters(__file__, {"e"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a\tb\0c", "a b c"), ("\ud800", ""), ("e\u0301", "é"), (" x ", "x"), ("قطة", "قطة")],
)
def test_printable_names(name: str, expected: str) -> None:
    assert printable(name) == expected
