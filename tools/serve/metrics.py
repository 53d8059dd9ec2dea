"""What the service counts, as text for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DETECT_PATH = "/detect"

SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
BATCHES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The counters of a service; each service has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("detect_requests", "Requests for detections", registry=self.registry)
        self.errors = Counter("detect_errors", "Requests that failed, by status", ["status"], registry=self.registry)
        self.waiting = Gauge("detect_waiting", "Requests that are read or wait for an answer", registry=self.registry)
        self.seconds = Histogram(
            "detect_seconds", "Time from a request to its answer", registry=self.registry, buckets=SECONDS
        )
        self.batches = Histogram(
            "detect_batch_photos", "Photos that were scored together", registry=self.registry, buckets=BATCHES
        )


class MeasuredRequests:
    """Counts the requests for detections of an application, and measures the time until each has its answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application."""
        if scope["type"] != "http" or scope["path"] != DETECT_PATH:
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._metrics.requests.inc()
            self._metrics.seconds.observe(time.perf_counter() - start)
            if status >= 400:
                self._metrics.errors.labels(status).inc()
