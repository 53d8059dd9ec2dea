"""The command `detect-serve` as a process of its own, with the shipped detector and with wrong options."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tools.serve import command

ROOT = Path(__file__).resolve().parents[3]


class Service(NamedTuple):
    process: subprocess.Popen[str]
    client: httpx.Client


@pytest.fixture(name="service")
def started_service() -> Iterator[Service]:
    """The service with the shipped detector, at a free port."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tools.serve", "--port", "0", "--device", "cpu"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        address = re.search(r"ready at (http://127\.0\.0\.1:\d+),", process.stderr.readline())
        assert address, process.communicate()
        with httpx.Client(base_url=address[1], timeout=300) as client:
            yield Service(process, client)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_after_the_request_that_has_begun(service: Service, photo: Path, number: signal.Signals) -> None:
    responses: list[httpx.Response] = []

    def send() -> None:
        responses.append(service.client.post("/detect", content=photo.read_bytes(), params={"threshold": "0.01"}))

    def begin() -> threading.Thread:
        """Return the thread of a request that has begun and not ended; one that was too fast to be seen is repeated."""
        with httpx.Client(base_url=service.client.base_url) as other:
            for _ in range(50):
                responses.clear()
                thread = threading.Thread(target=send)
                thread.start()
                while thread.is_alive():
                    if "detect_waiting 1.0" in other.get("/metrics").text:
                        return thread
        raise AssertionError("expected a request that takes long enough")

    thread = begin()
    service.process.send_signal(number)
    out, err = service.process.communicate(timeout=300)
    thread.join()
    assert (service.process.returncode, out, err) == (0, "", "")
    record = responses[0].json()
    assert (record["width"], record["height"]) == (160, 120)
    assert record["detections"]
    assert all(detection["score"] >= 0.01 for detection in record["detections"])


def test_a_port_that_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        assert command.main(["--port", str(port)]) == 1
    err = capsys.readouterr().err
    assert err == (
        f"detect-serve: 127.0.0.1, port {port}: expected a free address of this machine, got: Address already in use\n"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "", "x" * 300])
def test_an_address_of_another_machine(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--host", host, "--port", "0"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"detect-serve: {host}, port 0: expected a free address of this machine")
    assert err.count("\n") == 1


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    assert command.main([]) == 1
    assert "uvicorn; pip install 'inception-rcnn[serve]' adds it" in capsys.readouterr().err


def test_help_needs_no_library() -> None:
    libraries = "{'fastapi', 'uvicorn', 'torch'}"
    code = f"import sys, tools.serve.command as serve; serve.build_parser(); print({libraries} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
