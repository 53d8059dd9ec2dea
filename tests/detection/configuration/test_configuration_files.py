"""Files of a detector: faults in YAML, and names of files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from detection.configuration import build_detector, load_detector, read_yaml
from detection.errors import InputError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: " + "[" * 100_000, "expected values that are nested less deeply at line 2, column "),
        (
            "\n".join(" " * depth + "a:" for depth in range(2000)),
            "expected values that are nested less deeply at line ",
        ),
        ("a: 1\nb: " + "9" * 400, "expected a number of at most 18 digits at line 2, column 4"),
        (
            "a: 1\nb: " + "9" * 5000,
            "value has 5000 digits; use sys.set_int_max_str_digits() to increase the limit at line 2",
        ),
        ("a: 1\nb: 2\na: 3", "expected each key once, got a again at line 3, column 1"),
        ("a: 1\nb: 2001-02-30", "day is out of range for month at line 2, column 4"),
        ("a: 1\nb: \0", "unacceptable character #x0000"),
        ("a: 1\n? [b]\n: 1", "found unhashable key at line 2, column 3"),
    ],
)
def test_faults_in_yaml_are_named_with_their_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: expected YAML: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_name_that_no_file_can_have(detector_settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"a: expected a YAML file: File name too long"):
        load_detector("a" * 5000)
    detector_settings["classify"]["init_args"]["weights"] = "a" * 5000
    with pytest.raises(InputError, match=r"a: no such weights file"):
        build_detector(detector_settings, source="test")


def test_weights_are_found_beside_the_file_first(
    tmp_path: Path, tiny_weights: Path, detector_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector_settings["classify"]["init_args"]["weights"] = "everyday.safetensors"  # also the name of a shipped file
    (tmp_path / "mine").mkdir()
    config = tmp_path / "mine" / "my.yaml"
    config.write_text(yaml.safe_dump(detector_settings), encoding="utf-8")
    assert len(load_detector(config).class_names) == 80
    beside = tmp_path / "mine" / "everyday.safetensors"
    shutil.copy(tiny_weights, beside)
    shutil.copy(tiny_weights, tmp_path / "moved.safetensors")
    assert load_detector(config).class_names == ("cat", "cup", "rocket")
    monkeypatch.chdir(tmp_path / "mine")
    assert load_detector("my.yaml").class_names == ("cat", "cup", "rocket")

    detector_settings["classify"] = {
        "class_path": "classifier.ensemble.Ensemble",
        "init_args": {"members": ["everyday.safetensors", "../moved.safetensors", str(tiny_weights)], "device": "cpu"},
    }
    config.write_text(yaml.safe_dump(detector_settings), encoding="utf-8")
    monkeypatch.chdir("/")
    classifier: Any = load_detector(config).classify
    paths = [network.path for network in classifier.networks]
    assert paths == [beside, tmp_path / "mine" / ".." / "moved.safetensors", tiny_weights]


def test_only_arguments_of_classes_name_files_beside(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    (tmp_path / "cpu").touch()
    path = tmp_path / "a.yaml"
    path.write_text("csv: x.csv\ndetector: {init_args: {a: [x.csv, y.csv], b: {device: cpu, number: 1.5}}}")
    arguments = {"a": [str(tmp_path / "x.csv"), "y.csv"], "b": {"device": "cpu", "number": 1.5}}
    assert read_yaml(path) == {"csv": "x.csv", "detector": {"init_args": arguments}}
    path.write_text("a: &a [*a]")
    with pytest.raises(InputError, match=r"a\.yaml: expected values that do not contain themselves"):
        read_yaml(path)


def test_dangerous_modules_are_refused_before_they_are_imported(
    detector_settings: dict[str, Any], tmp_path: Path
) -> None:
    made = tmp_path / "made"
    for place, class_path, arguments in [
        ("propose", "subprocess.Popen", {"args": ["touch", str(made)]}),
        ("classify", "os.system", {"command": f"touch {made}"}),
        ("calibrate", "pathlib.Path.touch", {"self": str(made)}),
        ("calibrate", "builtins.exec", {"source": f"open({str(made)!r}, 'w')"}),
    ]:
        settings = detector_settings | {place: {"class_path": class_path, "init_args": arguments}}
        with pytest.raises(InputError, match=f"^test: expected .*Importing '{class_path}' is not allowed"):
            build_detector(settings, source="test")
    assert not made.exists()


RUNS = """
from pathlib import Path

class Anything:
    def __init__(self, made: str) -> None:
        Path(made).touch()

class Proposer(Anything):
    def __call__(self, image: int) -> str:
        return ""
"""


@pytest.mark.parametrize("place", ["propose", "classify", "calibrate"])
@pytest.mark.parametrize("name", ["Anything", "Proposer"])
def test_a_class_of_another_kind_is_not_built(
    detector_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, name: str
) -> None:
    (tmp_path / "foreign_module.py").write_text(RUNS)
    monkeypatch.syspath_prepend(tmp_path)
    arguments = {"made": str(tmp_path / "made")}
    settings = detector_settings | {place: {"class_path": f"foreign_module.{name}", "init_args": arguments}}
    message = (
        rf"^test: expected .*foreign_module\.{name} does not implement protocol (\w+).*; "
        r"expected a `__call__` with the annotations of `detection\.structures\.contracts\.\1`$"
    )
    with pytest.raises(InputError, match=message):
        build_detector(settings, source="test")
    assert not (tmp_path / "made").exists()


def test_aliases_that_stand_for_billions_of_values(tmp_path: Path) -> None:
    lines = [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in zip("abcd", "bcde", strict=True)]
    path = tmp_path / "a.yaml"
    path.write_text("\n".join(["a: &a [x]", *lines]))
    assert len(read_yaml(path)["e"][0][0][0]) == 10
    more = [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in zip("efgh", "fghi", strict=True)]
    path.write_text("\n".join(["a: &a [x]", *lines, *more]))
    with pytest.raises(InputError, match=r"a\.yaml: expected at most 100000 values, got more, which aliases repeat"):
        read_yaml(path)
