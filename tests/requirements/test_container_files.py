"""The container files name only what exists, and their containers do not run as root. No engine builds them here."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.docs.markdown import ROOT, shell_commands

FOLDER = ROOT / "requirements" / "docker"
FILES = sorted(FOLDER.glob("*.Dockerfile"))

KNOWN = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "RUN", "USER", "WORKDIR"}
"""The instructions of Dockerfiles that ours need."""


class Instruction(NamedTuple):
    """An instruction such as `COPY`, and what follows it, without line breaks."""

    name: str
    text: str


def parse(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile.

    Raises:
        ValueError: quoting an instruction that is not known.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    instructions = [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]
    for instruction in instructions:
        if instruction.name not in KNOWN:
            raise ValueError(f"unknown instruction: {instruction}")
    return instructions


def read(path: Path) -> list[Instruction]:
    return parse(path.read_text(encoding="utf-8"))


def texts(instructions: Sequence[Instruction], name: str) -> list[str]:
    return [instruction.text for instruction in instructions if instruction.name == name]


def settings(*keys: str) -> Any:
    """Return a part of pyproject.toml."""
    return reduce(getitem, keys, tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))


def missing_sources(instructions: Sequence[Instruction], root: Path) -> list[str]:
    """Return what `COPY` names in the folder of the clone and is not there."""
    sources = [source for text in texts(instructions, "COPY") for source in shlex.split(text)[:-1]]
    return [source for source in sources if not (root / source).exists()]


def last_user(instructions: Sequence[Instruction]) -> str:
    """Return the user who runs a container: that of the last `USER`, or root without one."""
    return ["root", *texts(instructions, "USER")][-1].partition(":")[0]


def test_there_is_one_for_each_kind_of_device() -> None:
    assert [path.name for path in FILES] == ["cpu.Dockerfile", "cuda.Dockerfile", "light.Dockerfile"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file(path: Path) -> None:
    instructions = read(path)
    assert instructions[0].name == "FROM"
    assert all(re.fullmatch(r"\w+:\d+\.\d+-slim-\w+", image) for image in texts(instructions, "FROM"))
    assert missing_sources(instructions, ROOT) == []
    patterns = settings("tool", "setuptools", "packages", "find", "include")
    packages = {pattern.removesuffix("*") for pattern in patterns}
    assert packages <= {source for text in texts(instructions, "COPY") for source in shlex.split(text)}
    assert last_user(instructions) not in ("root", "0")
    assert any(f" {last_user(instructions)} " in f"{text} " for text in texts(instructions, "RUN") if "useradd" in text)
    assert "://" not in path.read_text(encoding="utf-8")  # addresses, such as those of package indexes
    assert "index-url" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_installed_and_run_exists(path: Path) -> None:
    instructions = read(path)
    (installing,) = (text for text in texts(instructions, "RUN") if "pip install" in text)
    if path.name == "light.Dockerfile":
        assert "--requirement /source/requirements/light.txt" in installing
        assert "--no-deps /source " in installing
    else:
        (extras,) = re.findall(r"/source\[([\w,]+)\]", installing)
        assert set(extras.split(",")) <= settings("project", "optional-dependencies").keys()
    (entry,) = texts(instructions, "ENTRYPOINT")
    (program,) = json.loads(entry)
    assert program in settings("project", "scripts")
    assert all(isinstance(word, str) for text in texts(instructions, "CMD") for word in json.loads(text))


def test_page_names_the_files() -> None:
    commands = list(shell_commands((FOLDER / "README.md").read_text(encoding="utf-8")))
    builds = [words[words.index("--file") + 1] for words in commands if words[:2] == ["docker", "build"]]
    assert builds == [f"requirements/docker/{path.name}" for path in FILES]


def test_faults_are_found(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown instruction: .*COPPY"):
        parse("FROM python:3.12\nCOPPY a b")
    instructions = parse("# comment\nFROM python:3.12\nCOPY here.txt \\\n    # comment\n    gone.txt /a/\nRUN true")
    assert [instruction.name for instruction in instructions] == ["FROM", "COPY", "RUN"]
    (tmp_path / "here.txt").write_text("")
    assert missing_sources(instructions, tmp_path) == ["gone.txt"]
    assert last_user(instructions) == "root"
    assert last_user(parse("USER someone\nUSER 0:0")) == "0"
