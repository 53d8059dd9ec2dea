"""The service on a port of this machine, with a fake detector: answers, limits, load, and slow or damaged requests."""

from __future__ import annotations

import errno
import http.client
import json
import select
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartParser

from tests.tools.serve.fake_service import CLASS_NAMES, FAULTY, LOST, Running, error_of, photo, running_service
from tools.serve import server
from tools.serve.limits import Limits

FORM = "multipart/form-data; boundary=x"
FIELD = b'--x\r\nContent-Disposition: form-data; name="a"%b\r\n\r\n%b\r\n--x--\r\n'


@pytest.fixture(name="service", scope="module")
def service_with_usual_limits() -> Iterator[Running]:
    with running_service(Limits(body_bytes=100_000, pixels=10_000)) as service:
        yield service


def connect(service: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=60)


def read_all(client: socket.socket) -> bytes:
    """Return what the service sends until it closes the connection."""
    parts = []
    while part := client.recv(10_000):
        parts.append(part)
    return b"".join(parts)


def test_bytes_of_a_photo(service: Running) -> None:
    response = service.detect(photo(255, 51, size=(20, 30), kind="jpeg"))
    record = response.json()
    assert response.status_code == 200
    assert list(record) == ["image", "width", "height", "seconds", "detections"]
    assert (record["image"], record["width"], record["height"]) == ("photo", 30, 20)
    (detection,) = record["detections"]
    assert detection["score"] == pytest.approx(1, abs=0.02)
    assert (detection["class"], detection["label"], detection["box"]) == ("cat", 0, [1, 2, 30, 20])


def test_form_with_a_photo(service: Running) -> None:
    files = {"photo": ("ä <b>.png", photo(255))}
    response = service.client.post("/detect", files=files, data={"note": "not used"})
    assert response.status_code == 200
    assert response.json()["image"] == "ä <b>.png"
    assert [item["class"] for item in response.json()["detections"]] == ["cat"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["cat", CLASS_NAMES[1]]),
        ({"threshold": "0.9"}, ["cat"]),
        ({"threshold": "1"}, ["cat"]),
        ({"threshold": "0", "classes": CLASS_NAMES[1]}, [CLASS_NAMES[1]]),
        ({"classes": ["Cat", CLASS_NAMES[1]]}, ["cat", CLASS_NAMES[1]]),
    ],
)
def test_options(service: Running, options: dict[str, str | list[str]], expected: list[str]) -> None:
    response = service.detect(photo(255, 204), **options)
    assert [item["class"] for item in response.json()["detections"]] == expected


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"threshold": "1.01"}, "threshold: expected a valid value"),
        ({"threshold": "nan"}, "threshold: expected a valid value"),
        ({"threshold": "x"}, "threshold: expected a valid value"),
        ({"classes": "unicorn"}, "classes: expected a class of the detector, got 'unicorn'; /classes lists all"),
        ({"threshold": ["0.3", "0.5"]}, "threshold: expected one value, got several"),
        ({"treshold": "0.3"}, "treshold: expected one of the options threshold, classes"),
    ],
)
def test_wrong_options(service: Running, options: dict[str, str | list[str]], start: str) -> None:
    response = service.detect(photo(), **options)
    assert response.status_code == 422
    assert error_of(response).startswith(start)


@pytest.mark.parametrize(
    ("content", "content_type", "status", "start"),
    [
        (b"", "image/png", 422, "photo: expected the bytes of a photo, got none"),
        (b"no photo", "image/png", 422, "photo: expected a readable image"),
        (photo(size=(101, 100)), "image/png", 422, "photo: expected a readable image, got: 100 x 101 = 10100 pixels"),
        (bytes(100_001), "image/png", 413, "body: expected at most 100000 bytes, got more"),
        (b"no form", FORM, 400, "body: expected a form of the type multipart/form-data"),
        (b"no form", "multipart/form-data", 400, "body: expected a form of the type multipart/form-data"),
        (FIELD % (b"", b"1"), FORM, 422, "body: expected a form with one file, got none"),
        (FIELD % (b'; filename="a.jpg"', b""), FORM, 422, "a.jpg: expected the bytes of a photo, got none"),
    ],
)
def test_wrong_bodies(service: Running, content: bytes, content_type: str, status: int, start: str) -> None:
    response = service.client.post("/detect", content=content, headers={"Content-Type": content_type})
    assert response.status_code == status
    assert error_of(response).startswith(start)


def test_a_form_that_an_older_starlette_cannot_read(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: MultiPartParser) -> FormData:
        raise FormParserError("no boundary")

    monkeypatch.setattr(MultiPartParser, "parse", refuse)
    response = service.client.post("/detect", content=b"no form", headers={"Content-Type": FORM})
    message = "body: expected a form of the type multipart/form-data, got: no boundary"
    assert (response.status_code, error_of(response)) == (400, message)


def test_a_form_with_an_option(service: Running) -> None:
    response = service.client.post("/detect", files={"photo": ("a.png", photo())}, data={"threshold": "0.3"})
    message = "threshold: expected options in the address, as in /detect?threshold=..., got a field of a form"
    assert (response.status_code, error_of(response)) == (422, message)


def test_a_form_with_two_photos(service: Running) -> None:
    files = [("photo", ("a.png", photo())), ("photo", ("b.png", photo()))]
    response = service.client.post("/detect", files=files)
    assert (response.status_code, error_of(response)) == (422, "body: expected a form with one file, got 2")


def test_other_addresses(service: Running) -> None:
    get = service.client.get
    assert get("/healthz").json() == {"status": "ok"}
    head = service.client.head("/healthz")
    assert (head.status_code, head.content) == (200, b"")  # as load balancers and monitors ask
    assert get("/classes").json() == list(CLASS_NAMES)
    assert error_of(get("/nothing")).startswith("path: expected an address that /docs lists, got '/nothing'")
    assert error_of(get("/detect")).startswith("method: expected one that /docs lists for '/detect', got GET")
    description = get("/openapi.json").json()
    assert {"/detect", "/classes", "/healthz", "/metrics"} <= set(description["paths"])
    body = description["paths"]["/detect"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/octet-stream"}
    assert "http" not in get("/docs").text  # it loads nothing from elsewhere


def test_only_names_of_this_machine(service: Running) -> None:
    for name in ("localhost", "127.0.0.1", "127.0.0.2", "[::1]"):
        assert service.client.get("/classes", headers={"Host": f"{name}:{service.port}"}).status_code == 200
    response = service.client.get("/classes", headers={"Host": "attacker.example"})
    assert (response.status_code, error_of(response)[:5]) == (400, "host:")


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (50_000, bytes(50_000))),
        (b"Content-Length: 5000000000", bytes(50_000)),
    ],
)
def test_five_gigabytes_are_refused_while_they_stream(service: Running, header: bytes, part: bytes) -> None:
    sent = 0
    with connect(service) as client:
        client.sendall(b"POST /detect HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % header)
        while not select.select([client], [], [], 0)[0] and sent < 5_000_000_000:
            client.sendall(part)
            sent += 50_000
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body: expected at most 100000 bytes, got more" in answer
    assert sent < 1_000_000_000


def test_a_client_that_asks_first_does_not_send(service: Running) -> None:
    with connect(service) as client:
        headers = b"Host: localhost\r\nContent-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(b"POST /detect HTTP/1.1\r\n" + headers)
        assert client.recv(10_000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("query", "status"), [("", 413), ("?threshold=x", 422)])
def test_clients_that_send_all_before_they_read_get_the_answer(service: Running, query: str, status: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as client:
        client.request("POST", f"/detect{query}", bytes(30_000_000))
        response = client.getresponse()
        assert (response.status, list(json.loads(response.read()))) == (status, ["error"])


def test_a_full_disk_does_not_matter(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    content = photo(255) + bytes(90_000)
    with pytest.raises(OSError, match="No space"), tempfile.SpooledTemporaryFile(max_size=1) as file:
        file.write(content)
    assert service.client.post("/detect", files={"photo": ("a.png", content)}).status_code == 200


def test_a_fault_of_the_program(service: Running) -> None:
    response = service.detect(photo(0, 0, FAULTY))
    assert response.status_code == 500
    assert "a fault of the program" in error_of(response)
    assert service.detect(photo(255)).status_code == 200


def test_no_request_is_lost_under_load() -> None:
    with running_service(Limits(waiting=32)) as service, ThreadPoolExecutor(32) as clients:
        reds = [128 + number % 128 for number in range(200)]
        responses = list(clients.map(lambda red: service.detect(photo(red)), reds))
        assert [response.status_code for response in responses] == [200] * 200
        found = [round(response.json()["detections"][0]["score"] * 255) for response in responses]
        assert found == reds
        assert sum(service.stages.batches) == 200
        assert max(service.stages.batches) > 1
        assert service.metric("detect_requests_total") == 200
        assert service.metric("detect_seconds_count") == 200
        assert service.metric("detect_batch_photos_sum") == 200
        assert service.metric("detect_waiting") == 0


def test_full_service_refuses_and_loses_nothing() -> None:
    with running_service(Limits(waiting=3)) as service, ThreadPoolExecutor(10) as clients:
        service.stages.gate.clear()
        accepted = [clients.submit(service.detect, photo(200)) for _ in range(3)]
        while service.metric("detect_waiting") < 3:
            time.sleep(0.01)
        refused = list(clients.map(lambda _: service.detect(photo(200)), range(7)))
        assert [response.status_code for response in refused] == [429] * 7
        assert all(int(response.headers["Retry-After"]) >= 1 for response in refused)
        assert error_of(refused[0]).startswith("service: expected at most 3 requests at a time")
        service.stages.gate.set()
        assert [answer.result().status_code for answer in accepted] == [200] * 3
        assert service.metric('detect_errors_total{status="429"}') == 7
        assert service.detect(photo(200)).status_code == 200


def test_an_answer_that_takes_too_long() -> None:
    with running_service(Limits(answer_seconds=0.3)) as service:
        service.stages.gate.clear()
        response = service.detect(photo(200))
        assert (response.status_code, response.headers["Retry-After"]) == (504, "1")
        assert error_of(response) == "photo: expected detections within 0.3 seconds, got none"
        service.stages.gate.set()
        assert service.detect(photo(200)).status_code == 200


def test_slow_clients_are_refused_and_hold_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)
    with running_service(Limits(waiting=1, upload_seconds=0.5)) as service:
        with connect(service) as client:
            client.sendall(b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nbegin")
            answer = read_all(client)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"body: expected all of it within 0.5 seconds, got 5 bytes" in answer
        with connect(service) as silent, connect(service) as slow:
            slow.sendall(b"GET /he")
            assert (silent.recv(1), slow.recv(1)) == (b"", b"")  # closed
        assert service.detect(photo(200)).status_code == 200


def test_a_client_that_goes_leaves_its_place() -> None:
    with running_service(Limits(waiting=1)) as service:
        with connect(service) as client:
            client.sendall(b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nbegin")
            while service.metric("detect_waiting") < 1:
                time.sleep(0.01)
        while service.metric("detect_waiting") > 0:
            time.sleep(0.01)
        assert service.detect(photo(200)).status_code == 200


def test_stopping_answers_what_has_begun() -> None:
    with running_service() as service, ThreadPoolExecutor(8) as clients:
        service.stages.gate.clear()
        answers = [clients.submit(service.detect, photo(200)) for _ in range(8)]
        while service.metric("detect_waiting") < 8:
            time.sleep(0.01)
        service.server.should_exit = True
        threading.Timer(0.5, service.stages.gate.set).start()
        assert [answer.result().status_code for answer in answers] == [200] * 8
        with pytest.raises(httpx.TransportError):
            service.detect(photo(200))


def test_a_lost_gpu_stops_the_service() -> None:
    with running_service() as service:
        response = service.detect(photo(0, 0, LOST))
        assert (response.status_code, error_of(response)) == (503, "device cuda:0: lost")
        assert service.server.should_exit
        assert service.queue.failure is not None
