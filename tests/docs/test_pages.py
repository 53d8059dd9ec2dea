"""Everything that the pages show exists: commands, configurations, files, headings, modules and folders."""

from __future__ import annotations

import contextlib
import importlib
import io
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import detection
from detection.configuration import find_config, load_detector
from tests.docs.markdown import PAGES, ROOT, anchors, code_blocks, links, shell_commands

PACKAGES = ("detection", "proposals", "classifier", "tools", "configs")
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
CONFIGS = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "configs").rglob("*.yaml"))]  # comments show commands
CHANGELOG = "CHANGELOG.md"  # it also names what is no longer there
WRITTEN_BY_THE_READER = {"my.yaml", "windows.yaml", "colours.yaml", "fold.yaml"}


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    """The console scripts: from the name of a command to its module and function."""
    project: dict[str, Any] = tomllib.loads(page("pyproject.toml"))["project"]
    return dict(project["scripts"])


@pytest.mark.parametrize("name", [*NAMES, *CONFIGS])
def test_commands_exist(name: str, scripts: dict[str, str]) -> None:
    named = re.findall(r"(?<![\w/.-])detect(?:-[a-z]+)+(?![\w-])", page(name))
    run = [words[0] for words in shell_commands(page(name)) if words[0].startswith("detect")]
    assert {*named, *run} <= scripts.keys()
    for module in re.findall(r"python -m (tools\.[a-z]\w*)", page(name)):
        assert pkgutil.resolve_name(module)


def help_text(scripts: dict[str, str], words: list[str]) -> str:
    """Return what a command prints for `--help`; the first of its other words may name an action."""
    module, _, function = scripts[words[0]].partition(":")
    main = getattr(importlib.import_module(module), "main" if words[0] == "detect" else function)
    action = [word for word in words[1:2] if not word.startswith(("-", "$"))] if words[0] != "detect" else []
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*action, "--help"])
    return printed.getvalue()


def shown_options(words: list[str]) -> set[str]:
    return {found[0] for word in words if (found := re.match(r"--[\w.-]+", word))}


def has_option(text: str, option: str) -> bool:
    """Return True if a help text has the option, or the one of the class whose argument it is, such as `--dataset`."""
    parts = option.split(".")
    return any(
        re.search(rf"{re.escape('.'.join(parts[:count]))}(?![\w.-])", text) for count in range(len(parts), 0, -1)
    )


def test_options_exist(scripts: dict[str, str]) -> None:
    options: dict[tuple[str, ...], set[str]] = {}
    for name in NAMES:
        for words in shell_commands(page(name)):
            if words[0] in scripts and shown_options(words):
                options.setdefault(tuple(words[:2]), set()).update(shown_options(words))
    assert len(options) > 20
    for beginning, shown in options.items():
        text = help_text(scripts, list(beginning))
        assert {option for option in shown if not has_option(text, option)} == set(), beginning


def test_unknown_option_is_found() -> None:
    text = "  --dataset DATASET\n  --json-file FILE\n  --trainer.devices N"
    assert has_option(text, "--dataset.init_args.images")
    assert has_option(text, "--trainer.devices")
    assert not has_option(text, "--json")
    assert not has_option(text, "--trainer")


def test_commands_are_documented(scripts: dict[str, str]) -> None:
    text = "".join(page(name) for name in NAMES if name.startswith(("README", "docs/")))
    assert [script for script in scripts if not re.search(rf"(?<![\w-]){script}(?![\w-])", text)] == []


@pytest.mark.parametrize("name", [*NAMES, *CONFIGS])
def test_configurations_exist(name: str) -> None:
    named = {*re.findall(r"--(?:config|classes)[ =]([\w/.]+\.\w+)", page(name))} - WRITTEN_BY_THE_READER
    assert {config for config in named if not find_config(config).is_file()} == set()


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for target in links(page(name)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", [name for name in NAMES if name != CHANGELOG])
def test_files_and_modules_exist(name: str) -> None:
    for text in re.findall(r"`([\w./]+)`", page(name)):
        if re.match(rf"({'|'.join([*PACKAGES, 'docs', 'tests'])})/", text):
            assert (ROOT / text).exists() or ((ROOT / name).parent / text).exists(), text
        elif re.match(rf"({'|'.join(PACKAGES)})\.[\w.]+$", text) and not text.endswith((".yaml", ".py")):
            assert pkgutil.resolve_name(text) is not None


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_our_machines_is_named(name: str) -> None:
    assert re.findall(r"/(?:work|opt|tmp|home|root)/[\w./]*", page(name)) == []


def test_readme_is_short_and_has_both_commands() -> None:
    text = page("README.md")
    assert len(text.splitlines()) <= 120
    for marker in ("detect", "test"):
        assert re.search(rf"^<!-- command: {marker} -->\n```sh\n.+\n```$", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "docs/detect.md"])
def test_python_runs(name: str, photo: Path, detector_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    monkeypatch.setattr(detection, "load_detector", lambda: load_detector(detector_config))
    blocks = [block.text for block in code_blocks(page(name)) if block.language == "python"]
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), {})


def drawn_folders(drawing: str) -> list[str]:
    """Return the paths of the folders in a drawing, in which each folder ends with a slash and is indented by two."""
    paths: list[str] = []
    for line in drawing.splitlines():
        if found := re.match(r"( *)([\w.]+/)", line):
            depth = len(found[1]) // 2
            paths.append("/".join([*paths[-1].split("/")[:depth], found[2].rstrip("/")] if depth else [found[2][:-1]]))
    return paths


def test_drawing_is_true() -> None:
    drawing = next(block.text for block in code_blocks(page("CONTRIBUTING.md")) if "detection/" in block.text)
    drawn = drawn_folders(drawing)
    assert [folder for folder in drawn if not (ROOT / folder).is_dir()] == []
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))
    packages = {str(path.parent.relative_to(ROOT)) for path in files}
    assert {folder for folder in packages if folder.count("/") < 2} - set(drawn) == set()


def test_drawing_is_read() -> None:
    assert drawn_folders("a/    text\n  b/  more/\n    c/\n  d/\n\ne/") == ["a", "a/b", "a/b/c", "a/d", "e"]
