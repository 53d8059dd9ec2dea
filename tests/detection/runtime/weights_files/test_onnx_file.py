"""ONNX files that cannot be used are refused in one line, and those that can are computed."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from detection.errors import InputError
from detection.runtime.weights_files import onnx_file
from detection.runtime.weights_files.onnx_file import Interface, OnnxInput, OnnxNetwork, read_onnx

FLOAT32 = json.dumps({"precision": "float32", "quantisation": None})
METADATA = {"network": json.dumps({"name": "twice"}), "input": FLOAT32}
INTERFACE = Interface("float32", (None, 3, 2, 2), {"sums": (None, 3, 2, 2)})

Change = Callable[[Any], None]


def twice() -> Any:
    """Return a network that adds images [B, 3, 2, 2] to themselves."""
    images, sums = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, 2, 2]) for name in ("images", "sums")
    )
    graph = helper.make_graph([helper.make_node("Add", ["images", "images"], ["sums"])], "twice", [images], [sums])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, METADATA)
    return model


def write(path: Path, change: Change | None = None) -> Path:
    model = twice()
    if change is not None:
        change(model)
    path.write_bytes(model.SerializeToString())
    return path


def read(path: Path, in_place_of: Path | None = None) -> tuple[dict[str, Any], OnnxInput, OnnxNetwork]:
    def build(fields: dict[str, Any], read: OnnxInput, network: OnnxNetwork) -> Any:
        network.require(INTERFACE)
        return {"name": fields["name"]}, read, network

    return read_onnx(path, build, key="network", content="sums", threads=1, in_place_of=in_place_of)  # type: ignore[no-any-return]


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_computes_batches_of_any_size(tmp_path: Path, count: int, threads: int) -> None:
    fields, settings, network = read(write(tmp_path / "twice.onnx"))
    assert fields == {"name": "twice"}
    assert settings == OnnxInput("float32", None)
    images = np.arange(count * 12, dtype=np.float32).reshape(count, 2, 2, 3).transpose(0, 3, 1, 2)  # not contiguous
    (sums,) = network.run(images, threads=threads)
    np.testing.assert_array_equal(sums, images + images)


def test_a_copy_computes_the_same_without_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "twice.onnx")
    network = pickle.loads(pickle.dumps(read(path)[2]))
    path.unlink()
    (sums,) = network.run(np.ones((2, 3, 2, 2), np.float32), threads=1)
    np.testing.assert_array_equal(sums, np.full((2, 3, 2, 2), 2, np.float32))


def test_a_wrong_image_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Got invalid dimensions"):
        read(write(tmp_path / "twice.onnx"))[2].run(np.ones((2, 3, 4, 4), np.float32), threads=1)


def set_opset(model: Any) -> None:
    model.opset_import[0].version = 99


def set_format_version(model: Any) -> None:
    model.ir_version = 99


def name_unknown_operator(model: Any) -> None:
    model.graph.node[0].op_type = "Twice"


def drop_metadata(model: Any) -> None:
    del model.metadata_props[:]


def fix_batch(model: Any) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2


def describe_otherwise(model: Any) -> None:
    helper.set_model_props(model, {"network": "{}", "input": FLOAT32})


def compute_otherwise(model: Any) -> None:
    helper.set_model_props(model, {**METADATA, "input": '{"precision": "int4", "quantisation": null}'})


def describe_nothing(model: Any) -> None:
    helper.set_model_props(model, {**METADATA, "input": "[]"})


def rename_output(model: Any) -> None:
    model.graph.node[0].output[0] = model.graph.output[0].name = "totals"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_opset, "that ONNX Runtime can read, got: .*Opset 99.*; write it again with detect-export, or install a "),
        (set_format_version, "got: Unsupported model IR version: 99, .*; write it again with detect-export, or "),
        (name_unknown_operator, "got: This is an invalid model.*; write it again with detect-export, or install a new"),
        (drop_metadata, "expected an ONNX file of sums that detect-export has written, found no 'network' in its met"),
        (fix_batch, r"that fits its description: expected images of float32 \[None, 3, 2, 2\], got float32 \[2, 3, 2"),
        (describe_otherwise, "that fits its description: 'name'"),
        (compute_otherwise, "that fits its description: precision must be float32 or int8, got int4"),
        (describe_nothing, "that fits its description: "),
        (rename_output, "that fits its description: expected outputs sums, got totals"),
    ],
)
def test_unusable_network(tmp_path: Path, change: Change, message: str) -> None:
    path = write(tmp_path / "twice.onnx", change)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: expected an ONNX file ")
    assert "\n" not in str(caught.value)


def test_weights_of_its_own_do_not_replace_those_of_another_file(tmp_path: Path) -> None:
    path = write(tmp_path / "twice.onnx")
    expected = r"twice\.onnx: expected an ONNX file that reads the weights in twice\.safetensors, got one with weights"
    with pytest.raises(InputError, match=expected):
        read(path, path.with_suffix(".safetensors"))


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_file_that_is_cut_short(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "twice.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"twice\.onnx: expected an ONNX file that ONNX Runtime can read, got: "):
        read(path)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(InputError, match=f"{path}: no such weights file; expected an ONNX file of sums"):
            read(path)


def test_without_onnx_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "twice.onnx")
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    with pytest.raises(InputError, match=r"expected ONNX Runtime to compute it with; pip install onnxruntime"):
        read(path)


def test_the_example_is_valid() -> None:
    onnx.checker.check_model(twice(), full_check=True)
