"""Random changes of text: of its words, numbers and lines, and of its encoding."""

import re
from collections.abc import Callable

from numpy.random import Generator

from tools.fuzz.inputs.mutations.byte_changes import change_bytes, pick

NUMBERS = (
    "0", "-0", "-1", "1", "0.5", "1.0000001", "-0.01", "1e308", "1e309", "-1e400", "1e-320", "nan", "NaN", "inf",
    "-Infinity", "2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" * 400,
    "1" * 5000, "0x10", "1_000", "٣", "½", "1,5", "+7", "00012", "1e", ".", "--1",
)  # fmt: skip
"""Numbers, and texts that look like numbers, at which readers go wrong."""

WORDS = (
    "", " ", "\0", "\ufeff", "\u2028", "\x1b[31m", "'", '"', "<", ">", "&", "&amp;", "&#0;", "&#x110000;", "&lol;",
    "%s", "{", "}", "[", "]", ",", ";", "\t", "\r", "\r\n", "\n", "\\", "/", "..", "../../../etc/passwd", "/etc/shadow",
    "C:\\a", "//host/share", "~", "null", "None", "true", "no", "*a", "&a [*a]", "!!python/object/apply:os.system [a]",
    "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", "<![CDATA[", "<!--", "os.system", "é", "漢", "😀",
    "\ud7ff", "a" * 300, "a" * 5000, "[" * 2000, "{a: " * 500, "- " * 1000, "<a>" * 3000,
)  # fmt: skip
"""Words at which readers go wrong."""

TOKEN = re.compile(r"-?\d+(?:\.\d+)?|\w+|\s+|[^\w\s]")

MAX_CHARACTERS = 1 << 18
"""Mutated texts are cut to this length."""

Change = Callable[[str, Generator], str]


def change_text(text: str, random: Generator, *, most: int = 3) -> bytes:
    """Return the text after one to `most` random changes, in UTF-8 or sometimes in another encoding or damaged."""
    for _ in range(random.integers(1, most + 1)):
        text = pick(CHANGES, random)(text, random)
    encoding = pick(ENCODINGS, random)
    content = text[:MAX_CHARACTERS].encode(encoding, "replace")
    return change_bytes(content, random, most=2) if random.random() < 0.15 else content


ENCODINGS = ("utf-8",) * 12 + ("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1", "gb18030")


def replace_token(text: str, random: Generator) -> str:
    """Replace a word, a number or a sign by another one."""
    tokens = TOKEN.findall(text)
    if not tokens:
        return pick(WORDS, random)
    place = int(random.integers(len(tokens)))
    is_number = tokens[place].lstrip("-")[:1].isdecimal() and random.random() < 0.8
    other = pick(tokens, random) if random.random() < 0.3 else pick(NUMBERS if is_number else WORDS, random)
    return "".join([*tokens[:place], other, *tokens[place + 1 :]])


def _insert_word(text: str, random: Generator) -> str:
    place = int(random.integers(len(text) + 1))
    return text[:place] + pick(WORDS + NUMBERS, random) + text[place:]


def _change_lines(text: str, random: Generator) -> str:
    """Remove, repeat or exchange lines."""
    lines = text.split("\n")
    first, second = random.integers(len(lines), size=2).tolist()
    match random.integers(3):
        case 0:
            del lines[first : first + 1 + second // 4]
        case 1:
            lines[second:second] = [lines[first]] * int(random.integers(1, 50))
        case _:
            lines[first], lines[second] = lines[second], lines[first]
    return "\n".join(lines)


def _change_all(text: str, random: Generator) -> str:
    """Replace a sign or a word wherever it stands."""
    tokens = TOKEN.findall(text)
    return text.replace(pick(tokens, random), pick(WORDS + NUMBERS, random)) if tokens else text


def _cut(text: str, random: Generator) -> str:
    return text[: int(random.integers(len(text) + 1))]


CHANGES: tuple[Change, ...] = (
    replace_token, replace_token, replace_token, replace_token, _insert_word, _change_lines, _change_lines, _change_all,
    _cut,
)  # fmt: skip
