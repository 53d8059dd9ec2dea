"""Which engine computes the network of a weights file."""

from pathlib import Path

import pytest

from detection.errors import InputError
from detection.runtime.weights_files import engine
from detection.runtime.weights_files.engine import Precision, load_by_engine, may_have_gpu

WEIGHTS = "network.safetensors"


def load_onnx(path: Path, device: str | None, precision: Precision | None, in_place_of: Path | None) -> str:
    assert in_place_of in (None, path.with_suffix(".safetensors"))
    if not path.read_bytes():
        raise InputError(f"{path}: expected an ONNX file")
    place = "" if in_place_of is None else f" for {in_place_of.name}"
    return f"ONNX Runtime {path.name}{place} {device} {precision}"


def load_tensors(path: Path, device: str | None, precision: Precision | None) -> str:
    return f"PyTorch {path.name} {device} {precision}"


def load(path: Path, device: str | None = None, precision: Precision | None = None) -> str:
    return load_by_engine(path, device, precision, onnx=load_onnx, tensors=load_tensors)


@pytest.fixture(name="weights")
def fixture_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights file with an ONNX file beside it, on a machine without a GPU that has both engines."""
    for name in (WEIGHTS, "network.onnx"):
        (tmp_path / name).write_bytes(b"content")
    monkeypatch.setattr(engine, "may_have_gpu", lambda: False)
    return tmp_path / WEIGHTS


@pytest.mark.parametrize("device", [None, "cpu"])
def test_the_file_beside_is_computed_on_a_cpu(weights: Path, device: str | None) -> None:
    assert load(weights, device) == f"ONNX Runtime network.onnx for {WEIGHTS} {device} None"


def test_pytorch_computes_other_devices_and_chosen_precisions(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(weights, "cuda") == f"PyTorch {WEIGHTS} cuda None"
    assert load(weights, "cpu", "float32") == f"PyTorch {WEIGHTS} cpu float32"
    monkeypatch.setattr(engine, "may_have_gpu", lambda: True)
    assert load(weights) == f"PyTorch {WEIGHTS} None None"
    assert load(weights, "cpu") == f"ONNX Runtime network.onnx for {WEIGHTS} cpu None"


def test_pytorch_computes_what_onnx_runtime_cannot(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.with_suffix(".onnx").write_bytes(b"")
    assert load(weights) == f"PyTorch {WEIGHTS} None None"
    weights.with_suffix(".onnx").unlink()
    assert load(weights) == f"PyTorch {WEIGHTS} None None"
    monkeypatch.setattr(engine, "has_onnx_runtime", lambda: False)
    weights.with_suffix(".onnx").write_bytes(b"content")
    assert load(weights) == f"PyTorch {WEIGHTS} None None"


def test_a_named_onnx_file_is_computed_by_onnx_runtime_or_not_at_all(weights: Path) -> None:
    onnx = weights.with_suffix(".onnx")
    assert load(onnx, "cuda", "float32") == "ONNX Runtime network.onnx cuda float32"
    onnx.write_bytes(b"")
    with pytest.raises(InputError, match=r"network\.onnx: expected an ONNX file"):
        load(onnx)


def test_without_pytorch(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "has_torch", lambda: False)
    assert load(weights, None, "float32") == f"ONNX Runtime network.onnx for {WEIGHTS} None float32"
    weights.with_suffix(".onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"network\.onnx: expected an ONNX file"):
        load(weights)
    weights.with_suffix(".onnx").unlink()
    with pytest.raises(InputError, match=rf"{WEIGHTS}: expected PyTorch to compute it with, or an ONNX file beside it"):
        load(weights)


def test_drivers_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidiactl"
    monkeypatch.setattr(engine, "DRIVER_FILES", (str(driver),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert not may_have_gpu()
    driver.touch()
    assert may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not may_have_gpu()
