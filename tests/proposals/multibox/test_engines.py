"""Which engine computes the shipped MultiBox."""

from __future__ import annotations

import pytest

from detection.errors import InputError
from detection.runtime.weights_files import engine
from proposals.multibox import MultiBoxProposer

SHIPPED = "multibox_photographs.safetensors"


def test_pytorch_computes_another_input_size_than_the_onnx_file_has() -> None:
    proposer = MultiBoxProposer(SHIPPED, device="cpu", input_size=256)
    assert (type(proposer.network).__name__, proposer.input_size) == ("TensorMultiBox", 256)


def test_another_input_size_needs_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "has_torch", lambda: False)
    with pytest.raises(
        InputError, match=r"photographs\.onnx: expected input_size 320, .*, got 256; another one needs PyTo"
    ):
        MultiBoxProposer(SHIPPED, input_size=256)
