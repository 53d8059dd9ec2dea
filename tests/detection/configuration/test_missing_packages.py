"""Detection where a package is missing: an error names it, and what to do."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from detection import configuration
from detection.configuration import load_detector
from detection.errors import InputError


@pytest.mark.parametrize(
    ("module", "reason"),
    [(None, "import of cv2 halted; None in sys.modules"), (ModuleType("cv2"), "a module without functions")],
)
def test_a_missing_opencv_is_told(module: ModuleType | None, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", module)
    expected = f"cv2: expected OpenCV, got: {reason}; pip install --force-reinstall opencv-python-headless"
    with pytest.raises(InputError) as caught:
        load_detector()
    assert str(caught.value) == expected


def test_a_gpu_needs_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "has_torch", lambda: False)
    with pytest.raises(InputError, match=r"^device cuda: expected cpu, because PyTorch is not inst"):
        load_detector(device="cuda")
