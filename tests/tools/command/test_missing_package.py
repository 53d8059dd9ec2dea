"""The line about a package that is not installed."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from tools.command.missing_package import report_missing_package


@pytest.fixture(name="metadata", autouse=True)
def metadata_of_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["torch>=2", "scikit-image>=0.25", "scikit-learn>=1.5; extra == 'train'", 'ray[data]>=2; extra == "ray"']
    lines += ["pyyaml>=6", 'onnx>=1; extra == "onnx"', 'onnx-ir>=0.1; extra == "onnx"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: lines)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/detect-something"])


def report(error: BaseException) -> None:
    report_missing_package(type(error), error, None)


@pytest.mark.parametrize(
    ("module", "name", "requirement"),
    [
        ("torch.nn", "torch", "inception-rcnn"),
        ("skimage", "skimage", "inception-rcnn"),
        ("sklearn.svm", "sklearn", "inception-rcnn[train]"),
        ("ray", "ray", "inception-rcnn[ray]"),
        ("yaml", "yaml", "inception-rcnn"),
        ("onnx_ir.passes", "onnx_ir", "inception-rcnn[onnx]"),
    ],
)
def test_package_of_this_one(module: str, name: str, requirement: str, capsys: pytest.CaptureFixture[str]) -> None:
    report(ModuleNotFoundError(f"No module named '{module}'", name=module))
    expected = f"detect-something: expected the package {name}, which is not installed; pip install '{requirement}'"
    assert capsys.readouterr().err == f"{expected} adds it\n"


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'mine'", name="mine"), ModuleNotFoundError("?"), ValueError("bad")]
)
def test_other_errors_have_their_traceback(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    report(error)
    assert capsys.readouterr().err.splitlines()[-1] == f"{type(error).__name__}: {error}"


def test_source_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    report(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert capsys.readouterr().err.endswith("ModuleNotFoundError: No module named 'torch'\n")
