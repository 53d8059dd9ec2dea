"""Tests of the import of Caffe's weights, and of its errors. Nothing here uses the internet."""

import hashlib
import io
import urllib.error
from email.message import Message
from pathlib import Path

import pytest
import torch

from classifier.scoring.weights_file import load_weights
from detection.errors import InputError
from tests.tools.train.conftest import WriteCaffe
from tools.train import import_caffe


@pytest.fixture(name="weights")
def weights_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file to write; temporary files are written to its folder, so that a test sees them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "imagenet.safetensors"


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


def refusal(capsys: pytest.CaptureFixture[str], weights: Path, *options: str) -> str:
    """Return the one line that the command prints; it must not leave a file."""
    assert import_caffe.main(["--weights", str(weights), *options]) == 1
    output, message = capsys.readouterr()
    assert output == ""
    assert not weights.exists()
    assert message.startswith("detect-import-caffe: ")
    assert message.count("\n") == 1
    return message


def test_writes_the_published_network(weights: Path, caffe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_caffe.main(["--weights", str(weights), "--source", str(caffe_file)]) == 0
    assert capsys.readouterr().out == f"{weights}: {weights.stat().st_size:,} bytes\n"
    network, description = load_weights(weights)
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]
    assert (description.input_size, description.context, description.background) == (224, 0, False)
    assert (len(description.class_names), description.class_names[281]) == (1000, "tabby")
    assert description.training["origin"] == "googlenet.safetensors"
    assert description.init_args == {"caffe_details": True}
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_998_552


def test_download_of_another_file(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"<html>Please log in</html>"
    serve(monkeypatch, content)
    message = refusal(capsys, weights)
    assert (
        "bvlc_googlenet.caffemodel: expected a file whose SHA-1 is 405fc5acd08a3bb12de8ee5e23a96bec22f08204" in message
    )
    assert hashlib.sha1(content).hexdigest() in message


@pytest.mark.parametrize("answer", [urllib.error.URLError("no route to host"), TimeoutError("timed out")])
def test_download_that_fails(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: Exception
) -> None:
    serve(monkeypatch, answer)
    message = refusal(capsys, weights)
    assert import_caffe.URL in message
    assert str(answer) in message


def test_right_download_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, b"weights")
    path = tmp_path / "net.caffemodel"
    import_caffe.download("https://example.org/net", path, sha_1=hashlib.sha1(b"weights").hexdigest())
    assert path.read_bytes() == b"weights"


def test_other_number_of_classes(tmp_path: Path, write_caffe: WriteCaffe) -> None:
    path = write_caffe(tmp_path / "five.safetensors", 5)
    with pytest.raises(InputError, match=r"five\.safetensors: expected the 1000 classes of ImageNet, got 5"):
        import_caffe.load_published(path)


@pytest.mark.parametrize("name", ["net.caffemodel", "net.safetensors"])
def test_source_that_is_something_else(
    weights: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path_factory.mktemp("foreign") / name
    path.write_bytes(b"nothing that Caffe wrote")
    assert f"{path}: expected a" in refusal(capsys, weights, "--source", str(path))
