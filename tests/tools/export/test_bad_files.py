"""`detect` tells in one line what is wrong with an ONNX file of its detector, and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from detection.cli import command as detect
from detection.errors import InputError
from detection.runtime.weights_files import onnx_file

Change = Callable[[Path], None]


def changed_model(change: Callable[[Any], None]) -> Change:
    def write(folder: Path) -> None:
        model = onnx.load(folder / "second.onnx")
        change(model)
        (folder / "second.onnx").write_bytes(model.SerializeToString())

    return write


def cut_short(folder: Path) -> None:
    content = (folder / "second.onnx").read_bytes()
    (folder / "second.onnx").write_bytes(content[: len(content) // 2])


def replace_by_multibox(folder: Path) -> None:
    shutil.copy(folder / "boxes.onnx", folder / "second.onnx")


def drop_metadata(model: Any) -> None:
    """As in the file of another program."""
    del model.metadata_props[:]


def name_other_classes(model: Any) -> None:
    for entry in model.metadata_props:
        entry.value = entry.value.replace('["cat", "cup", "rocket"]', '["cat", "cup", "dog"]')


def use_later_operators(model: Any) -> None:
    model.opset_import[0].version = 99


def make_weights_nan(model: Any) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()


def name_weights(file: str) -> Change:
    def change(model: Any) -> None:
        model.metadata_props.add(key=onnx_file.WEIGHTS_KEY, value=json.dumps({"file": file, "sha256": ""}))

    return changed_model(change)


def spoil_a_name(folder: Path) -> None:
    """ONNX Runtime's Python code prints the error that such a name leads to, unless it is told not to."""
    content = (folder / "second.onnx").read_bytes()
    (folder / "second.onnx").write_bytes(content.replace(b"logits", b"\xffogits"))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command say nothing of a slow start, which a busy machine may cause."""
    monkeypatch.setattr(detect, "PATIENCE", 600.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_short, "second.onnx: expected an ONNX file that ONNX Runtime can read, got: "),
        (
            replace_by_multibox,
            "second.onnx: expected an ONNX file of a region classifier that detect-ex",
        ),
        (
            changed_model(drop_metadata),
            "second.onnx: expected an ONNX file of a region classifier that detect-ex",
        ),
        (changed_model(make_weights_nan), "second.onnx: expected weights that give finite scores and boxes, got nan"),
        (changed_model(name_other_classes), "second.onnx: expected the classes of "),
        (name_weights("missing.safetensors"), "second.onnx: expected an ONNX file that fits its description: "),
        (name_weights("../second.onnx"), "expected the name of a file beside it, got '../second.onnx'"),
        (spoil_a_name, "second.onnx: expected an ONNX file that ONNX Runtime can read, got: "),
        (changed_model(use_later_operators), "write it again with detect-export, or install a newer onnxruntime"),
    ],
)
def test_unusable_file(
    fast: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, change: Change, message: str
) -> None:
    folder = shutil.copytree(fast, tmp_path / "exported")
    change(folder)
    assert detect.main([str(photo), "--config", str(folder), "--no-image"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("detect: ")
    assert message in err
    assert "second.onnx" in err


def test_a_network_that_cannot_be_computed(fast: Path) -> None:
    network = onnx_file.OnnxNetwork(fast / "second.onnx", threads=1)
    with pytest.raises(
        InputError, match=r"second\.onnx: expected a network that ONNX Runtime can compute, got: .*; wr"
    ):
        network.run(np.zeros((1, 3, 5, 5), np.float32), threads=1)


def test_without_onnx_runtime(
    fast: Path, photo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    assert detect.main([str(photo), "--config", str(fast), "--no-image"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "expected ONNX Runtime to compute it with; pip install onnxruntime" in err
