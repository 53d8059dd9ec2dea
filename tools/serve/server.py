"""Listens for requests with uvicorn, closes the connections of clients that are too slow, and stops in good order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from detection.detector import Detector
from detection.errors import InputError
from detection.runtime.command_end import ENDING
from detection.runtime.parallel.many_images import MAX_BATCH
from tools.serve.app import build_app
from tools.serve.detection_queue import DetectionQueue
from tools.serve.limits import Limits
from tools.serve.metrics import Metrics

HEADER_SECONDS = 10.0
"""The time in which a client has to send the beginning of a request, up to the end of its headers."""

MAX_CONNECTIONS = 512
"""The largest number of open connections. A request on a further one is answered with the status 503."""


class TimedProtocol(H11Protocol):
    """Closes a connection on which the beginning of a request does not arrive within `HEADER_SECONDS`.

    uvicorn itself only closes connections between two requests. Bodies have a limit of their own, see `upload`.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Pass data on, and wait for the rest of the headers if they are incomplete."""
        super().data_received(data)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """A server that stops after SIGINT, SIGTERM or SIGHUP, once all requests that had begun are answered.

    uvicorn raises the signal again at the end, so that the command would seem to be killed. A second SIGINT ends the
    server at once; `force_exit` tells this.
    """

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle the signals in the block; those that are ignored, as SIGHUP is below `nohup`, stay so."""
        numbers = [signal.SIGINT, *ENDING] if threading.current_thread() is threading.main_thread() else []
        earlier: dict[int, Any] = {
            number: signal.signal(number, self.handle_exit)
            for number in numbers
            if signal.getsignal(number) != signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address of this machine.

    Raises:
        InputError: naming the address, if it cannot be used, for example because another program uses it.
    """
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=kind)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (")[0]  # without the address again
        raise InputError(f"{host}, port {port}: expected a free address of this machine, got: {reason}") from None


class Service(NamedTuple):
    """A server that is not running yet, and the queue that it fills. `queue.close()` is to be called at the end."""

    server: Server
    queue: DetectionQueue


def build_service(detector: Detector, limits: Limits, *, batch: int = MAX_BATCH, local_only: bool = True) -> Service:
    """Return the service of a detector; `server.run(sockets=[...])` serves until it is stopped.

    `batch` is the largest number of photos that are scored together; `build_app` describes the other arguments. The
    server stops if the GPU is lost; then `queue.failure` is the error.
    """
    # The parser of forms would print a line for each damaged form of a client.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    metrics = Metrics()

    def stop() -> None:
        server.should_exit = True

    queue = DetectionQueue(
        detector, batch=batch, max_pixels=limits.pixels, on_batch=metrics.batches.observe, on_failure=stop
    )
    app = build_app(detector, queue, limits=limits, metrics=metrics, local_only=local_only)
    config = uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=int(limits.upload_seconds + limits.answer_seconds) + 1,
    )
    server = Server(config)
    return Service(server, queue)


@contextmanager
def running(service: Service) -> Iterator[int]:
    """Run a service in a thread for the time of the block, stop it as a signal would, and yield its port."""
    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=service.server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            service.server.should_exit = True
            thread.join()
            service.queue.close()
