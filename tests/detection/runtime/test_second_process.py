"""Compiled loops give the same results in a second process, and in this process after the second one has failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from classifier.warp.crop import warp_regions, warp_to_bytes
from detection.runtime.second_process import (
    call_compiled,
    compiled_process,
    compiling_ahead,
    has_machine_code,
    stop_process,
)
from detection.structures.arrays import Image
from proposals.selective_search import SelectiveSearch
from tests.detection.conftest import run_python, save_image

LOADED = "proposals.selective_search.search"
BOXES = torch.tensor([[3.0, 5.0, 40.0, 30.0], [-10.0, 0.0, 100.0, 90.0], [0.0, 0.0, 5.0, 5.0]])

FUNCTIONS = """
import os
from pathlib import Path

def load():
    Path(os.environ["LOADED_BY"]).write_text(str(os.getpid()))

def one():
    return 1

def process_of(*arguments, **options):
    return os.getpid(), arguments, options

def fail(*arguments):
    raise ValueError(f"no, not {arguments}")

def leave():
    if os.environ["HOME_PROCESS"] != str(os.getpid()):
        os._exit(3)
    return "at home"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that both processes can import."""
    (tmp_path / "called_functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "called_functions", raising=False)  # of another test
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("HOME_PROCESS", str(os.getpid()))
    monkeypatch.setenv("LOADED_BY", str(tmp_path / "loaded_by"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "machine_code"))
    return "called_functions"


def all_loops(image: Image) -> list[NDArray[Any]]:
    pixels = torch.from_numpy(image.copy())
    several = torch.stack([pixels, pixels.flip(0)])
    return [
        SelectiveSearch(width=100, scales=(20,))(image).boxes,
        warp_regions(pixels[None], BOXES[None], size=16, context=2).numpy(),
        warp_regions(several, BOXES.expand(2, -1, -1), size=16).numpy(),
        warp_to_bytes(image, BOXES.numpy(), size=16, context=2, scale=0.7, zero=120),
    ]


def test_the_same_results_as_in_this_process(photo_pixels: Image) -> None:
    expected = all_loops(photo_pixels)
    with compiled_process([LOADED, "classifier.warp.numba_loops"]):
        for array, other in zip(all_loops(photo_pixels), expected, strict=True):
            np.testing.assert_array_equal(array, other)
            assert array.dtype == other.dtype
            assert array.flags.writeable


def test_load_compiles_all_that_a_photo_needs() -> None:
    code = (
        "import sys, numpy as np\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "from classifier.warp import numba_loops\n"
        "from proposals.selective_search import search\n"
        "ours = 'classifier', 'proposals.'\n"
        "def signatures():\n"
        "    modules = [module for name, module in sys.modules.items() if name[:10] in ours]\n"
        "    loops = {loop for module in modules for loop in vars(module).values() if isinstance(loop, Dispatcher)}\n"
        "    return {loop.__name__: len(loop.signatures) for loop in loops if loop.signatures}\n"
        "search.load(), numba_loops.load()\n"
        "loaded = signatures()\n"
        "image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)\n"
        "search.search([image, image], [20, 50], 0.8)\n"
        "windows = np.array([[0.0, 0, 70, 60], [3, 4, 9, 9], [0, 0, 40, 9]])\n"
        "numba_loops.warp_to_bytes(image, windows, 16, (1.0, 2.0, 3.0), scale=0.7, zero=120, threads=2)\n"
        "numba_loops.warp(image[None], windows[None], 16, (1.0, 2.0, 3.0), threads=2)\n"
        "assert len(loaded) > 10 and set(loaded.values()) == {1}, loaded\n"
        "assert signatures() == loaded, signatures()\n"
    )
    process = run_python(code)
    assert process.communicate() == ("", "")
    assert process.returncode == 0


def test_calls_go_to_the_second_process_and_back_to_this_one(module: str) -> None:
    assert call_compiled(module, "process_of")[0] == os.getpid()
    with compiled_process([module]):
        there, arguments, options = call_compiled(module, "process_of", 1, "b", key=[3])
        assert there != os.getpid()
        assert (arguments, options) == ((1, "b"), {"key": [3]})
        assert call_compiled(module, "process_of")[0] == there
    assert call_compiled(module, "process_of")[0] == os.getpid()
    assert is_gone(there)


def test_loops_are_compiled_ahead_in_another_process(module: str, tmp_path: Path) -> None:
    with compiling_ahead([module]):
        pass
    loaded_by = int((tmp_path / "loaded_by").read_text())
    assert loaded_by != os.getpid()
    assert is_gone(loaded_by)


@pytest.mark.parametrize("folder", ["__pycache__", "machine_code/deep"])
def test_stored_machine_code_is_not_compiled_again(module: str, tmp_path: Path, folder: str) -> None:
    assert not has_machine_code(module)
    assert not has_machine_code("no_such_module")
    stored = tmp_path / folder / f"{module}.function-3.py311.nbi"
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.touch()
    os.utime(stored, (0, 0))
    assert not has_machine_code(module)  # the source is newer
    stored.touch()
    assert has_machine_code(module)
    with compiling_ahead([module]):
        pass
    assert not (tmp_path / "loaded_by").exists()


def test_machine_code_in_the_folder_of_the_user(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not has_machine_code(module)
    stored = tmp_path / "cache" / "numba" / "deep" / f"{module}.function-3.py311.nbi"
    stored.parent.mkdir(parents=True)
    stored.touch()
    assert has_machine_code(module)


def test_machine_code_without_a_home(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert not has_machine_code(module)


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_machine_code_of_numba_is_known_by_its_name(module: str, tmp_path: Path) -> None:
    code = f"""
import numba
import {module}
loop = numba.njit(cache=True)({module}.one)
assert loop() == 1
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert has_machine_code(module)


def test_machine_code_stays_known_where_numba_uses_it_after_a_new_installation(module: str, tmp_path: Path) -> None:
    code = f"""
import numba
import {module}
loop = numba.njit(cache=True)({module}.one)
loop()
print(len(loop.stats.cache_hits))
"""
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=tmp_path) == b"0\n"
    source = tmp_path / f"{module}.py"
    os.utime(source, (time.time() + 100,) * 2)
    known = has_machine_code(module)
    assert subprocess.check_output(command, cwd=tmp_path) == (b"1\n" if known else b"0\n")
    source.write_text(f"{FUNCTIONS}\n")
    os.utime(source, (time.time() + 200,) * 2)
    assert not has_machine_code(module)


def test_an_error_ends_the_compilation(module: str) -> None:
    with pytest.raises(KeyboardInterrupt), compiling_ahead([module]):
        raise KeyboardInterrupt


def test_an_error_is_the_one_that_it_is_in_this_process(module: str) -> None:
    with compiled_process([module]), pytest.raises(ValueError, match=r"no, not \(1,\)"):
        call_compiled(module, "fail", 1)


def test_a_lost_process_is_done_without(module: str) -> None:
    with compiled_process([module]):
        assert call_compiled(module, "process_of")[0] != os.getpid()
        assert call_compiled(module, "leave") == "at home"
        assert call_compiled(module, "process_of")[0] == os.getpid()


def test_a_module_that_the_process_does_not_find(module: str) -> None:
    with compiled_process(["no_such_module"]):
        assert call_compiled(module, "process_of")[0] == os.getpid()


def test_a_process_that_cannot_be_started(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with compiled_process([module]):
        assert call_compiled(module, "process_of")[0] == os.getpid()


def test_calls_after_the_process_was_stopped(module: str) -> None:
    with compiled_process([module]):
        for _ in range(2):
            stop_process()
            assert call_compiled(module, "process_of")[0] == os.getpid()


def test_the_folder_that_the_user_is_in_is_not_searched(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "numpy.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path / "photos")
    with compiled_process([module]):
        assert call_compiled(module, "process_of")[0] != os.getpid()


def test_it_ends_when_its_parent_is_killed(module: str) -> None:
    code = f"""
import os, time
from detection.runtime.second_process import call_compiled, compiled_process
with compiled_process([{module!r}]):
    print(call_compiled({module!r}, "process_of")[0], flush=True)
    time.sleep(600)
"""
    parent = run_python(code)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not is_gone(child, patience=0)
    parent.kill()
    parent.communicate(timeout=60)
    assert is_gone(child)


def is_gone(process_id: int, patience: float = 30) -> bool:
    """Return True if a process ends within `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)


@pytest.mark.parametrize("count", [1, 2])
def test_command_for_a_lone_image_leaves_numba_to_the_second_process(
    count: int, photo_pixels: Image, detector_config: Path, tmp_path: Path
) -> None:
    for number in range(count):
        save_image(tmp_path / "photos" / f"{number}.png", photo_pixels)
    code = f"""
import os, sys
from detection.cli import command as cli
cli.available_cores = lambda: 2
os._exit = lambda status: print("numba" in sys.modules, status)
sys.argv = ["detect", {str(tmp_path / "photos")!r}, "--config", {str(detector_config)!r}, "--no-image", "--quiet"]
sys.argv += ["--json", {str(tmp_path / "found.json")!r}]
cli.run()
"""
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert (output.stdout, output.stderr) == (f"{count > 1} 0\n", "")
    assert len(json.loads((tmp_path / "found.json").read_text())) == count
