"""`detect-benchmark scoring` times engines in turn, which compute the same."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from jsonargparse import Namespace

from detection.errors import InputError
from tools.measure.benchmark import command as benchmark
from tools.measure.benchmark import scoring as benchmark_scoring
from tools.measure.benchmark.baselines import onnx_engines

SCORING = ["scoring", "--device", "cpu", "--regions", "5", "--networks", "2", "--input_size", "32", "--context", "2"]
SCORING += ["--width_multiplier", "0.125", "--classes", "4", "--repeat", "2"]

LARGE_ENOUGH = ["--input_size", "64"]
"""OpenVINO refuses networks whose last pooling is larger than what it pools."""


def test_scoring_by_engines_against_the_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "scoring.json"
    options = ["--box_regression", "--engines", "eager", "fused", "--profile", "--json", str(file)]
    assert benchmark.main([*SCORING, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(file.read_text())
    assert lines[0].startswith("CPU, ")
    assert lines[0].endswith("float32")
    rows = {line.split()[0]: line.split() for line in lines if line.endswith(("e-06", "e-07", "e-08", "e-09", "e+00"))}
    assert list(rows) == list(report["seconds"]) == ["plain", "eager", "fused"]
    for name, seconds in report["seconds"].items():
        rate = report["operations"] / (sum(seconds) / 2)
        assert [float(value.rstrip("msx%")) for value in rows[name][1:4]] == pytest.approx(
            [1e3 * sum(seconds) / 2, 1e3 * min(seconds), 1e3 * max(seconds)], abs=0.006
        )
        assert float(rows[name][5]) == pytest.approx(rate / 1e12, rel=1e-3)
        assert float(rows[name][6].rstrip("%")) == pytest.approx(100 * rate / report["peak"], abs=0.06)
    assert "aten::mkldnn_convolution" in "".join(lines)
    assert lines[-1].split()[:3] == ["of", "it", "warp"]
    assert report["failed"] == {}


def test_an_engine_that_fails_is_named_and_the_others_are_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = benchmark_scoring.load_networks

    def failing(engine: str, *arguments: Any) -> Any:
        if engine == "fused":
            raise RuntimeError("no such kernel")
        return original(engine, *arguments)

    monkeypatch.setattr(benchmark_scoring, "load_networks", failing)
    assert benchmark.main([*SCORING, "--engines", "fused", "eager"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["plain", "fused", "eager"]
    assert lines[4].endswith("RuntimeError: no such kernel")


def test_scoring_by_engines_of_onnx_files(tmp_path: Path) -> None:
    """Both compute the same as PyTorch; OpenVINO is told to be missing where it is not installed."""
    file = tmp_path / "scoring.json"
    engines = ["--engines", "onnxruntime", "openvino", "--precision", "float32", "--networks", "1", *LARGE_ENOUGH]
    assert benchmark.main([*SCORING, "--batch_norm", "--processor-time", *engines, "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    installed = ["openvino"] if find_spec("openvino") else []
    assert list(report["seconds"]) == list(report["first"]) == ["plain", "onnxruntime", *installed]
    if not installed:
        assert report["failed"]["openvino"].endswith("pip install 'inception-rcnn[openvino]'")


class Networks(NamedTuple):
    """The options of a benchmark, the weights files of its networks, and the ONNX files of these."""

    options: Namespace
    files: list[str]
    exported: list[str]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    options = benchmark_scoring.build_parser().parse_args(
        [*SCORING[1:], "--precision", "float32", "--batch_norm", *LARGE_ENOUGH]
    )
    files = benchmark_scoring.save_networks(tmp_path_factory.mktemp("networks"), options)
    return Networks(options, files, onnx_engines.export_networks(files, "float32"))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_of_onnx_files_give_the_same_scores(engine: str, networks: Networks) -> None:
    pytest.importorskip(engine)
    options, files, exported = networks
    regions = benchmark_scoring.Regions(*benchmark_scoring.random_image(5))
    expected = regions.score(benchmark_scoring.load_networks("eager", files, options))
    np.testing.assert_allclose(
        regions.score(benchmark_scoring.load_networks(engine, exported, options)), expected, atol=1e-5
    )


def test_engines_of_onnx_files_refuse_other_precisions() -> None:
    with pytest.raises(InputError, match="precision bfloat16: expected float32 or int8"):
        onnx_engines.export_networks(["a.safetensors"], "bfloat16")


def test_operations_are_those_of_the_paper() -> None:
    """Table 1 of arXiv 1409.4842 counts 1.5 G multiplications; its 1000 classes are a linear layer of 1024."""
    options = benchmark_scoring.build_parser().parse_args(["--classes", "999"])
    operations = benchmark_scoring.count_operations(benchmark_scoring.describe(options))
    assert operations == pytest.approx(2 * 1.5e9, rel=0.07)
