"""Tests of the import of torchvision's weights, and of its errors. Nothing here uses the internet."""

from __future__ import annotations

import hashlib
import io
import urllib.error
from email.message import Message
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from classifier.scoring.weights_file import load_weights
from tools.train import import_torchvision


@pytest.fixture(name="source", scope="module")
def torchvision_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a file like the published one, with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("source") / "googlenet.pth"
    network: nn.Module = torchvision.models.GoogLeNet(aux_logits=False, init_weights=True)
    torch.save(network.state_dict(), path)
    return path


class Response(io.BytesIO):
    """A response of `urlopen` that does not tell its length."""

    def info(self) -> Message:
        return Message()


def serve(monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception) -> None:
    def urlopen(request: object) -> Response:
        assert request
        if isinstance(answer, Exception):
            raise answer
        return Response(answer)

    monkeypatch.setattr(torch.hub, "urlopen", urlopen)


@pytest.fixture(name="weights")
def weights_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file to write; temporary files are written to its folder, so that a test sees them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "imagenet.safetensors"


def refusal(capsys: pytest.CaptureFixture[str], weights: Path, *options: str) -> str:
    """Return the one line that the command prints; it must not leave a file."""
    assert import_torchvision.main(["--weights", str(weights), *options]) == 1
    output, message = capsys.readouterr()
    assert output == ""
    assert list(weights.parent.iterdir()) == []
    assert message.startswith("detect-import-torchvision: ")
    assert message.count("\n") == 1
    return message


def test_writes_a_network_for_whole_pictures(weights: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_torchvision.main(["--weights", str(weights), "--source", str(source)]) == 0
    assert capsys.readouterr().out.startswith(f"{weights}: ")
    network, description = load_weights(weights)
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]
    assert (description.input_size, description.context, description.background) == (224, 0, False)
    assert (len(description.class_names), description.class_names[0]) == (1000, "tench")
    assert description.training["origin"] == "googlenet.pth"
    state = torch.load(source, weights_only=True)
    assert torch.equal(network.get_parameter("linear.weight"), state["fc.weight"].half().float())
    assert torch.equal(network.get_parameter("stem.0.0.weight"), state["conv1.conv.weight"].half().float())


def test_downloads_without_a_source(weights: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = source.read_bytes()
    monkeypatch.setattr(import_torchvision, "URL", f"https://example.org/net-{hashlib.sha256(content).hexdigest()}.pth")
    serve(monkeypatch, content)
    assert import_torchvision.main(["--weights", str(weights)]) == 0
    assert load_weights(weights)[1].training["origin"] == import_torchvision.URL
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]


def test_address_states_a_hash() -> None:
    assert import_torchvision.URL.endswith("/googlenet-1378be20.pth")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "invalid hash value"),
        (b"<html>Please log in</html>", "invalid hash value"),
        (urllib.error.URLError("no route to host"), "no route to host"),
        (ConnectionResetError("connection reset"), "connection reset"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_download_that_fails(
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: bytes | Exception,
    reason: str,
) -> None:
    serve(monkeypatch, answer)
    message = refusal(capsys, weights)
    assert import_torchvision.URL in message
    assert "expected a file whose SHA-256 starts with 1378be20" in message
    assert reason in message


def test_download_that_breaks_off(
    weights: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = source.read_bytes()
    monkeypatch.setattr(import_torchvision, "URL", f"https://example.org/net-{hashlib.sha256(content).hexdigest()}.pth")
    serve(monkeypatch, content[:-1])
    assert "invalid hash value" in refusal(capsys, weights)


FOREIGN = {
    "text": b"nothing that PyTorch wrote",
    "empty": b"",
    "pickle": b"\x80\x02}q\x00.",
    "zip": b"PK\x03\x04 and no more",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_file_that_cannot_be_read(
    weights: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path_factory.mktemp("foreign") / "net.pth"
    path.write_bytes(content)
    message = refusal(capsys, weights, "--source", str(path))
    assert f"{path}: expected" in message
    assert "torchvision's googlenet" in message


@pytest.mark.parametrize("size", [20, 200, 390])
def test_old_file_that_is_cut_short(
    weights: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    """A truncated file in the format before PyTorch 1.6 gives other errors than one in the present format."""
    path = tmp_path_factory.mktemp("old") / "net.pth"
    torch.save({"fc.bias": torch.zeros(10)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:size])
    assert f"{path}: expected a .pth file" in refusal(capsys, weights, "--source", str(path))


class Dangerous:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return print, ("code of the file",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "found something else in it"),
        ({"state_dict": {}}, "found something else in it"),
        ({0: torch.zeros(2)}, "found something else in it"),
        ({"weight": torch.zeros(2)}, "found no conv1.conv.weight"),
        (Dangerous(), "cannot read it"),
    ],
)
def test_file_of_something_else(
    weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    content: object,
    reason: str,
) -> None:
    path = tmp_path_factory.mktemp("foreign") / "net.pth"
    torch.save(content, path)
    message = refusal(capsys, weights, "--source", str(path))
    assert f"{path}: expected" in message
    assert reason in message


def test_file_that_is_not_there(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none.pth: expected a .pth file" in refusal(capsys, weights, "--source", "none.pth")


def test_other_classes(
    weights: Path, source: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(source, weights_only=True)
    path = tmp_path_factory.mktemp("other") / "ten.pth"
    torch.save({**state, "fc.weight": state["fc.weight"][:10], "fc.bias": state["fc.bias"][:10]}, path)
    message = refusal(capsys, weights, "--source", str(path))
    assert f"{path}: expected the 1000 classes of ImageNet, got 10" in message


def test_full_disk(
    weights: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_bytes(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    message = refusal(capsys, weights, "--source", str(source))
    assert f"{weights}: expected a place to write to" in message
    assert "No space left on device" in message
