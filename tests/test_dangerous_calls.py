"""No code reads what could run code or open other files: pickles, unsafe YAML, evaluated text, shells.

Nor does any look at the clock of the day, which may jump: durations are measured by clocks that only go forward.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("detection", "proposals", "classifier", "tools", "configs")

OWN_PICKLES = {
    "detection/runtime/portable.py": "a detector is copied within the memory of this process",
    "detection/runtime/second_process.py": "the pipe leads to a process that this one has started",
    "tools/bulk/ray_engine.py": "Ray, which reads pickles itself, carries them between the processes of one run",
    "tools/bulk/ray_workers.py": "as above",
    "tools/data/propose_on_cluster.py": "as above",
}
"""The files that read pickles, and why these come from nowhere else."""

NEVER = {"eval", "exec", "os.system", "os.popen", "np.fromfile", "yaml.unsafe_load", "yaml.full_load", "joblib.load",
         "time.time", "datetime.now", "datetime.datetime.now",
         "marshal.loads", "marshal.load", "shelve.open", "dill.load", "torch.hub.load", "tempfile.mktemp"}  # fmt: skip


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield the dotted name of each function that is called, with the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def dangerous_calls(text: str) -> list[str]:
    """Return the calls in a module that read or run what a stranger may have written, as "line: call"."""
    found = []
    for name, call in calls(ast.parse(text)):
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        wrong = (
            name in NEVER
            or name in ("pickle.load", "pickle.loads", "pickle.Unpickler")
            or (name == "torch.load" and options.get("weights_only") != "True")
            or (name.startswith("np.load") and options.get("allow_pickle", "False") != "False")
            or (name == "yaml.load" and ast.unparse(call).count("Loader") == 0)
            or options.get("shell") == "True"
            or name.endswith(".extractall")
        )
        found += [f"{call.lineno}: {name}"] if wrong else []
    return found


def test_our_code_calls_nothing_dangerous() -> None:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 200
    found = {path.relative_to(ROOT).as_posix(): dangerous_calls(path.read_text("utf-8")) for path in files}
    assert {name: lines for name, lines in found.items() if lines and name not in OWN_PICKLES} == {}
    for name in OWN_PICKLES:
        assert found[name], name
        assert all("pickle.load" in line for line in found[name])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("torch.load(path)", ["1: torch.load"]),
        ("torch.load(path, weights_only=False)", ["1: torch.load"]),
        ("torch.load(path, map_location='cpu', weights_only=True)", []),
        ("pickle.loads(content)", ["1: pickle.loads"]),
        ("pickle.dumps(content)", []),
        ("np.load(path, allow_pickle=True)", ["1: np.load"]),
        ("np.load(path)", []),
        ("yaml.load(text)", ["1: yaml.load"]),
        ("yaml.load(text, Loader=yaml.BaseLoader)", []),
        ("subprocess.run(command, shell=True)", ["1: subprocess.run"]),
        ("subprocess.run([command])", []),
        ("archive.extractall(folder)", ["1: archive.extractall"]),
        ("eval(text)", ["1: eval"]),
        ("model.eval()", []),
        ("start = time.time()", ["1: time.time"]),
        ("start = time.perf_counter()", []),
    ],
)
def test_dangerous_call_is_found(line: str, expected: list[str]) -> None:
    assert dangerous_calls(line) == expected
