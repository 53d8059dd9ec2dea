"""`download` reads what lies at an address of the web, within limits of size, time and number of redirects.

Nothing else in this package uses the network, and this function is called only for addresses that the user gives.
"""

import http.client
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any

from detection.errors import InputError
from detection.image import CHUNK_BYTES

MAX_DOWNLOAD_BYTES = 1 << 28
"""The largest file that is downloaded."""

MAX_SECONDS = 60.0
"""The longest time that a download may take, from its beginning, in seconds. A server that sends a byte now and then
cannot keep it open for longer."""

MAX_SILENT_SECONDS = 15.0
"""The longest time without an answer of the server, in seconds."""

MAX_REDIRECTS = 5
"""The largest number of times that a server may name another address instead of answering."""

NOT_WEB = "a redirect to an address that is neither HTTP nor HTTPS"

URL_SAFE = "%/:;=&?~+!$,'@()*[]"
"""The characters of a path or query that are not encoded. "%" is one of them, as it may stand in encoded characters."""


def download(address: str, *, expected: str = "an image") -> bytes:
    """Return what lies at an address; `expected` says for error messages what it should be.

    Raises:
        InputError: naming the address, if it is malformed, if the server cannot be reached, answers with an error, or
            exceeds a limit of this module, or if the connection breaks.
    """
    with _closing_late() as deadline:
        try:
            content = _get(_encoded(address), deadline)
        except urllib.error.HTTPError as error:
            error.close()
            reason = _describe(error)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        else:
            reason = ""
        if deadline.passed:
            reason = f"a download that takes longer than {MAX_SECONDS:g} seconds"
    if reason:
        raise InputError(f"{address}: expected {expected}, got: {' '.join(reason.split())}")
    return content


def _encoded(address: str) -> str:
    """Return an address in which spaces and letters beyond ASCII are encoded, as a browser would do it."""
    parts = urllib.parse.urlsplit(address)
    if "@" in parts.netloc:
        raise ValueError("an address with a user name, which is not supported")
    quote = partial(urllib.parse.quote, safe=URL_SAFE)
    return parts._replace(
        netloc=parts.netloc.encode("idna").decode(), path=quote(parts.path), query=quote(parts.query)
    ).geturl()


def _describe(error: urllib.error.HTTPError) -> str:
    if error.code in (301, 302, 303, 307, 308):
        is_refused = "not allowed" in str(error.reason)  # urllib itself refuses a redirect to a file
        return NOT_WEB if is_refused else f"a loop of redirects, or more than {MAX_REDIRECTS} of them"
    return f"HTTP status {error.code} {error.reason}"


def _get(address: str, deadline: "_Deadline") -> bytes:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Handler(deadline),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    headers = {"User-Agent": "inception-rcnn", "Accept": "image/*,*/*;q=0.5"}
    with opener.open(urllib.request.Request(address, headers=headers), timeout=MAX_SILENT_SECONDS) as response:
        expected = response.length  # None if the server does not tell it
        content = bytearray()
        if expected is not None and expected > MAX_DOWNLOAD_BYTES:
            raise ValueError(f"{expected} bytes, more than the limit of {MAX_DOWNLOAD_BYTES}")
        while chunk := response.read1(CHUNK_BYTES):
            content += chunk
            if len(content) > MAX_DOWNLOAD_BYTES:
                raise ValueError(f"more than the limit of {MAX_DOWNLOAD_BYTES} bytes")
    if expected is not None and len(content) < expected:
        raise ValueError(f"a connection that broke after {len(content)} of {expected} bytes")
    return bytes(content)


class _Deadline:
    """Shuts the connections of a download when its time is over; a socket itself only limits the time of silence."""

    def __init__(self) -> None:
        self.passed = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def watch(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connection)
        if self.passed:
            self.shut()

    def shut(self) -> None:
        self.passed = True
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):  # it is closed already
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


@contextmanager
def _closing_late() -> Iterator[_Deadline]:
    """Yield a deadline that begins now and is called off at the end of the block."""
    deadline = _Deadline()
    timer = threading.Timer(MAX_SECONDS, deadline.shut)
    timer.daemon = True
    timer.start()
    try:
        yield deadline
    finally:
        timer.cancel()


class _Watched(http.client.HTTPConnection):
    """A connection that a deadline can shut."""

    def __init__(self, deadline: _Deadline, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.watch(self.sock)


class _WatchedSecurely(_Watched, http.client.HTTPSConnection):
    """The same by HTTPS."""


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Opens connections that a deadline can shut."""

    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Watched, self._deadline), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_WatchedSecurely, self._deadline), request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a limited number of redirects, and only on the web."""

    max_redirections = MAX_REDIRECTS
    max_repeats = 1

    def redirect_request(  # noqa: PLR0917  the parameters are those of urllib
        self, request: urllib.request.Request, file: IO[bytes], code: int, message: str, headers: Any, address: str
    ) -> urllib.request.Request | None:
        file.close()  # otherwise urllib would read the rest of the answer, which may never end
        if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
            raise ValueError(NOT_WEB)
        return super().redirect_request(request, file, code, message, headers, address)
