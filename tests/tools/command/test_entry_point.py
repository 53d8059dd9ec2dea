"""Every command reports errors in the same way, and each runs under both of its names from any folder."""

from __future__ import annotations

import importlib
import importlib.metadata
import runpy
import signal
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

import tools
from detection.errors import DeviceError, InputError
from detection.runtime.command_end import Stopped
from tools.command.entry_point import Main, command, run_action

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
COMMANDS = {name: target.partition(":")[0] for name, target in SCRIPTS.items() if name != "detect"}


def module_name(target: str) -> str:
    """Return the name that `python -m` takes for the module of a command."""
    parts = target.removesuffix(".command").split(".")
    assert parts[1] in tools.GROUPS or len(parts) == 2
    return f"tools.{parts[-1]}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_script(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main: Main = importlib.import_module(COMMANDS[name]).main
    try:
        status: object = main(["--help"])
    except SystemExit as stopped:
        status = stopped.code
    output = capsys.readouterr()
    assert (status, output.err) == (0, "")
    assert output.out.startswith(f"usage: {name} ")


@pytest.mark.filterwarnings("ignore:'tools:RuntimeWarning")  # the other test has imported the module already
@pytest.mark.parametrize("name", COMMANDS)
def test_python_runs_the_module(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_name(COMMANDS[name])
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert not stopped.value.code
    assert capsys.readouterr().out.startswith(f"usage: {name} ")


WITHOUT_A_SCRIPT = {"tools.train.own_classes.step", "tools.fuzz.command"}
"""The modules that `detect-train` runs in a process of its own, and that developers run by `python -m`."""


def test_every_module_with_a_command_is_a_script() -> None:
    files = (ROOT / "tools").rglob("*.py")
    decorated = [path for path in files if "\n@command(" in path.read_text()]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in decorated}
    assert names == {*WITHOUT_A_SCRIPT, *COMMANDS.values()}


def test_scripts_are_installed() -> None:
    installed = importlib.metadata.distribution("inception-rcnn").entry_points.select(group="console_scripts")
    assert {script.name: script.value for script in installed} == SCRIPTS


def test_scripts_run_beside_other_tools(tmp_path: Path) -> None:
    """A user's folder may have a package `tools`, which `python -m` would find first."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("raise SystemExit('the tools of the user')\n")
    script = Path(sysconfig.get_path("scripts")) / "detect-evaluate"
    done = subprocess.run([script, "score", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: detect-evaluate score ")


def ending_with(result: int | BaseException | None, received: list[str] | None = None) -> Main:
    """Return a command that adds its arguments to `received`, and then returns or raises the result."""

    @command("detect-nothing")
    def main(arguments: Sequence[str]) -> int | None:
        if received is not None:
            received.extend(arguments)
        if isinstance(result, BaseException):
            raise result
        return result

    return main


@pytest.mark.parametrize(
    ("result", "status", "error"),
    [
        (None, 0, ""),
        (0, 0, ""),
        (2, 2, ""),
        (InputError("file: expected this, got that"), 1, "detect-nothing: file: expected this, got that\n"),
        (DeviceError("device cuda:0: lost"), 1, "detect-nothing: device cuda:0: lost\n"),
        (KeyboardInterrupt(), 130, "detect-nothing: interrupted\n"),
        (Stopped(signal.SIGTERM), 143, "detect-nothing: stopped by SIGTERM\n"),
        (BrokenPipeError(), 1, ""),
        (OSError(28, "Full", "a"), 1, "detect-nothing: a: expected to read or write it, got: Full\n"),
        (
            MemoryError(),
            1,
            "detect-nothing: expected less work at once, such as smaller sizes or numbers, got: out of memory\n",
        ),
    ],
)
def test_exit_status(
    result: int | BaseException | None, status: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    received: list[str] = []
    assert ending_with(result, received)(["a", "b"]) == status
    assert received == ["a", "b"]
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", error)


def test_a_signal_stops_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    @command("detect-nothing")
    def main(arguments: Sequence[str]) -> None:  # noqa: ARG001
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert main([]) == 143
    assert capsys.readouterr().err == "detect-nothing: stopped by SIGTERM\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_exceptions_are_faults_of_the_program() -> None:
    with pytest.raises(ValueError, match="fault"):
        ending_with(ValueError("fault"))([])


def test_arguments_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["detect-nothing", "c"])
    received: list[str] = []
    assert ending_with(None, received)() == 0
    assert received == ["c"]


ACTIONS = {"score": "tools.measure.evaluate.score", "growth": "tools.measure.benchmark.growth"}


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["--help"], 0), (["-h"], 0)])
def test_usage_of_actions(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_action("detect-nothing", ACTIONS, arguments) == status
    output = capsys.readouterr()
    assert (output.err or output.out).startswith(
        "usage: detect-nothing {score,growth} ...; each of them has a --help\n"
    )
    assert bool(output.err) == bool(status)


def test_unknown_actions_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_action("detect-nothing", ACTIONS, ["scoer", "--rule", "voc"]) == 2
    assert capsys.readouterr().err == "detect-nothing: expected an action: score, growth, got 'scoer'\n"


def test_help_has_a_line_about_each_action(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_action("detect-nothing", ACTIONS, ["--help"]) == 0
    score, growth = capsys.readouterr().out.splitlines()[1:]
    assert score == "  score   score the detections in a file, by any rule."
    assert growth.startswith("  growth  the time of a detector as pixels, regions, members or classes grow")


def test_a_name_that_is_no_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    @command("detect-something")
    def main(arguments: Sequence[str]) -> None:  # noqa: ARG001
        "caf\udce9".encode()

    assert main([]) == 1
    expected = r"'caf\udce9': expected names in UTF-8, got others; rename the files or folders"
    assert capsys.readouterr().err == f"detect-something: {expected}\n"
