"""Readers of what the pages of the documentation show: code blocks, commands and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

PAGES = sorted(
    {ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")}
    | {path for pattern in ("docs/**/*.md", "*/README.md", "*/weights/*.md") for path in ROOT.glob(pattern)}
)
"""The pages of the repository: its own, those of the packages, and the model cards."""

BLOCK = re.compile(r"(?:^`(?P<file>[\w.]+)`:\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced code block; `file` is the name on the line above it, such as "`my_proposer.py`:", or empty."""

    file: str
    language: str
    text: str


def code_blocks(text: str) -> list[Block]:
    """Return the fenced code blocks of a page."""
    return [Block(found["file"] or "", found["language"], found["text"]) for found in BLOCK.finditer(text)]


def shell_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command in the shell blocks of a page, and in those indented by four spaces.

    Lines that end with a backslash are joined, comments and assignments before a command are left out.
    """
    blocks = [block.text for block in code_blocks(text) if block.language == "sh"]
    indented = re.findall(r"(?:^    .*\n)+", BLOCK.sub("", text), re.MULTILINE)
    for block in [*blocks, *indented]:
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|;|\||\bdo\b|\s&(?:\s|$)", line):
                words = _words(command)
                while words and re.fullmatch(r"\w+=.*", words[0]):
                    words = words[1:]
                if words:
                    yield words


def _words(command: str) -> list[str]:
    """Return the words of a command; a quote that is still open goes on over the end of the line."""
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return command.split()


def links(text: str) -> list[str]:
    """Return the targets of the links of a page, those in code left out."""
    return [found["target"] for found in LINK.finditer(BLOCK.sub("", text))]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = (found["text"].lower() for found in HEADING.finditer(BLOCK.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in headings}
