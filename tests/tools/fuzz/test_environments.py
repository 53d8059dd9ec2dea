"""The package is tried in new environments, with the lower bounds of its dependencies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.fuzz import environments

PYPROJECT = """
[project]
dependencies = ["numpy>=1.26; python_version < '3.13'", "tool[extra]>=4.5.1", "mypy==2.4.*", "other"]
[project.optional-dependencies]
plots = ["a-b.c >= 3", "numpy"]
all = ["this-package[plots]"]
"""


def test_lower_bounds() -> None:
    assert environments.lower_bounds(PYPROJECT) == [
        "numpy==1.26.*; python_version < '3.13'",
        "tool==4.5.1.*",
        "a-b.c==3.*",
    ]


def test_every_dependency_has_a_lower_bound() -> None:
    names = {
        line.partition("==")[0]
        for line in environments.lower_bounds((environments.ROOT / "pyproject.toml").read_text())
    }
    assert names >= {"torch", "numpy", "jsonargparse", "onnxruntime", "pyarrow", "ray"}


@pytest.mark.parametrize("versions", ["oldest", "newest"])
def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: Any) -> None:
    """The new environment is made, and the commands in it are those of `echo`."""
    root, folder = tmp_path / "root", tmp_path / "folder"
    package = "tools/train/runs/__init__.py"  # a folder of this name at the root would hold what runs have written
    for name in ("pyproject.toml", "tests/test_a.py", ".git/config", "build/old.py", "runs/old.pt", package):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(PYPROJECT)
    folder.mkdir()
    monkeypatch.setattr(environments, "ROOT", root)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    calls = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        calls.append((command, options))
        return subprocess.CompletedProcess(command, int("pytest" in command))

    monkeypatch.setattr(subprocess, "run", run)
    failed = environments.try_environment(folder, sys.executable, versions, ["tests/test_a.py"])
    assert failed is not None
    assert failed.endswith("pytest -q -p no:cacheprovider -W default tests/test_a.py")
    assert [command[1:3] for command, _ in calls[:2]] == [["-m", "venv"], ["-m", "pip"]]
    assert f"{folder / 'tree'}[test]" in calls[1][0]
    assert (folder / "constraints.txt").read_text().splitlines() == (
        environments.lower_bounds(PYPROJECT) if versions == "oldest" else []
    )
    assert {path.name for path in (folder / "tree").iterdir()} == {"pyproject.toml", "tests", "tools"}
    assert (folder / "tree" / package).exists()
    assert all("PYTHONPATH" not in options["env"] for _, options in calls)
    detect, places = calls[3][0], [options["cwd"] for _, options in calls]
    assert Path(detect[0]).parent.parent == folder / "environment"
    assert detect[1:] == ["--sample"]
    assert places[3:] == [folder, folder / "tree"]


def test_reports_the_command_that_failed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        environments, "try_environment", lambda *arguments: "x -m y" if arguments[2] == "oldest" else None
    )
    assert environments.main(["--pythons", "python3.11"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "python3.11, oldest versions: failed: x -m y",
        "python3.11, newest versions: all is well",
    ]
    assert environments.main(["--pythons", os.devnull, "--versions", "newest"]) == 0
