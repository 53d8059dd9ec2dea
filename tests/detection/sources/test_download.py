"""Downloads within limits, from a server of the test on the loopback interface."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from detection.errors import InputError
from detection.sources import download as module
from detection.sources.download import MAX_REDIRECTS, download
from tests.detection.sources.conftest import Server, answer

TOO_MANY = f"a loop of redirects, or more than {MAX_REDIRECTS} of them"

PATIENCE = 20
"""Seconds after which a download that never ends would be told from one that keeps its limit of a second."""


def refusal(address: str) -> str:
    """Return the reason for which a download is refused."""
    with pytest.raises(InputError) as caught:
        download(address)
    start = f"{address}: expected an image, got: "
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(start)


def test_content_is_returned(server: Server) -> None:
    server.answers["/a.jpg"] = answer(b"content")
    assert download(server.address("/a.jpg")) == b"content"
    assert download(server.address("/a.jpg").replace("http", "HTTP", 1)) == b"content"


def test_content_of_unknown_length(server: Server) -> None:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"con")
        handler.wfile.write(b"tent")

    server.answers["/a.jpg"] = give
    assert download(server.address("/a.jpg")) == b"content"


def test_spaces_and_other_letters_are_encoded(server: Server) -> None:
    server.answers["/%C3%A4%20b.jpg?size=1&name=%C3%B6"] = answer(b"content")
    assert download(server.address("/ä b.jpg?size=1&name=ö#part")) == b"content"
    assert download(server.address("/%C3%A4%20b.jpg?size=1&name=%C3%B6")) == b"content"


@pytest.mark.parametrize(("status", "reason"), [(404, "HTTP status 404 Not Found"), (500, "HTTP status 500 Internal")])
def test_an_error_of_the_server(server: Server, status: int, reason: str) -> None:
    server.answers["/a.jpg"] = answer(b"page", status=status)
    assert refusal(server.address("/a.jpg")).startswith(reason)


@pytest.mark.usefixtures("server")
def test_an_address_that_cannot_be_reached() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refused" in refusal(f"http://127.0.0.1:{port}/a.jpg")


@pytest.mark.parametrize("address", ["http://", "http:///a.jpg", "http://[1/a.jpg", "http://a:b/c.jpg", "http://a b/c"])
def test_malformed_addresses(server: Server, address: str) -> None:
    refusal(address)
    assert server.requests == []


def test_an_address_with_a_password_is_refused(server: Server) -> None:
    assert refusal("http://me:secret@127.0.0.1/a.jpg") == "an address with a user name, which is not supported"
    assert server.requests == []


def test_redirects_are_followed_up_to_the_limit(server: Server) -> None:
    server.answers["/0"] = answer(b"content")
    for number in range(1, MAX_REDIRECTS + 2):
        server.answers[f"/{number}"] = answer(b"", status=302, Location=f"/{number - 1}")
    assert download(server.address(f"/{MAX_REDIRECTS}")) == b"content"
    assert refusal(server.address(f"/{MAX_REDIRECTS + 1}")) == TOO_MANY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_loop_of_redirects(server: Server, status: int) -> None:
    server.answers["/a"] = answer(b"", status=status, Location="/b")
    server.answers["/b"] = answer(b"", status=status, Location="/a")
    assert refusal(server.address("/a")) == TOO_MANY
    assert len(server.requests) <= MAX_REDIRECTS + 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a.jpg", "data:image/png;base64,AAAA"])
def test_a_redirect_away_from_the_web(server: Server, target: str) -> None:
    server.answers["/a"] = answer(b"", status=302, Location=target)
    assert refusal(server.address("/a")) == "a redirect to an address that is neither HTTP nor HTTPS"


def test_a_redirect_with_an_endless_body(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 10.0)

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/b")
        handler.end_headers()
        while not server.ended.wait(0.001):
            handler.wfile.write(bytes(1 << 16))

    server.answers["/a"], server.answers["/b"] = give, answer(b"content")
    start = time.monotonic()
    assert download(server.address("/a")) == b"content"
    assert time.monotonic() - start < 5  # the body was not read until the limit of time


def test_a_server_that_tells_too_large_a_size_is_not_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DOWNLOAD_BYTES", 1000)
    server.answers["/a.jpg"] = answer(b"", Content_Length="1001")
    assert refusal(server.address("/a.jpg")) == "1001 bytes, more than the limit of 1000"
    server.answers["/a.jpg"] = answer(bytes(1000))
    assert len(download(server.address("/a.jpg"))) == 1000


def endless(server: Server, pause: float, chunk: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.ended.wait(pause):
            handler.wfile.write(chunk)

    return give


def test_an_address_that_never_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DOWNLOAD_BYTES", 1 << 20)
    server.answers["/a.jpg"] = endless(server, 0.0001, bytes(1 << 16))
    assert refusal(server.address("/a.jpg")) == f"more than the limit of {1 << 20} bytes"


def dripping_headers(server: Server) -> Callable[[BaseHTTPRequestHandler], None]:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Name: ")
        while not server.ended.wait(0.1):
            handler.wfile.write(b"x")

    return give


def silent(server: Server) -> Callable[[BaseHTTPRequestHandler], None]:
    def wait(_: BaseHTTPRequestHandler) -> None:
        server.ended.wait(PATIENCE)

    return wait


@pytest.mark.parametrize("kind", ["content", "headers", "nothing", "nothing after the headers"])
def test_a_server_that_is_too_slow(server: Server, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", 1.0)
    server.answers["/a.jpg"] = {
        "content": endless(server, 0.1, b"x"),
        "headers": dripping_headers(server),
        "nothing": silent(server),
        "nothing after the headers": endless(server, PATIENCE, b""),
    }[kind]
    start = time.monotonic()
    assert refusal(server.address("/a.jpg")) == "a download that takes longer than 1 seconds"
    assert time.monotonic() - start < PATIENCE


def test_a_server_that_is_silent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SILENT_SECONDS", 0.3)
    server.answers["/a.jpg"] = silent(server)
    assert "timed out" in refusal(server.address("/a.jpg"))


def test_a_connection_that_breaks(server: Server) -> None:
    server.answers["/a.jpg"] = answer(b"half", Content_Length="8")
    assert refusal(server.address("/a.jpg")) == "a connection that broke after 4 of 8 bytes"
    server.answers["/b.jpg"] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    refusal(server.address("/b.jpg"))


def test_a_server_that_speaks_no_http(server: Server) -> None:
    def greet(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 ready\r\n")

    server.answers["/a.jpg"] = greet
    assert "220 ready" in refusal(server.address("/a.jpg"))
