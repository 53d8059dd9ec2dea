"""The addresses that the service answers."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from detection import __version__
from detection.cli.records import Record
from detection.detector import Detector
from detection.errors import DeviceError, InputError, short_repr
from detection.structures.class_choice import find_labels
from tools.serve.detection_queue import Answer, DetectionQueue
from tools.serve.limits import Limits
from tools.serve.metrics import DETECT_PATH, MeasuredRequests, Metrics
from tools.serve.page import build_drop_page
from tools.serve.refusal import Refusal
from tools.serve.upload import SentPhoto, read_photo

DESCRIPTION = """Finds objects in photos. Send a photo to `/detect`: as a form of the type multipart/form-data with one
file, or as the bytes of the file. If the request cannot be answered, the field `error` is a line that says why. A box
is x1, y1, x2, y2 in pixels of the upright photo, and the origin is its top left corner."""


class Options(BaseModel):
    """The options of a request for detections."""

    model_config = ConfigDict(extra="forbid")  # so that a misspelled option is an error

    threshold: float | None = Field(
        None, ge=0, le=1, description="lowest score of the detections; default: that of the detector"
    )
    classes: list[str] = Field([], description="return only these classes; default: all")


class DetectionModel(BaseModel):
    """A detection, for the description of the service."""

    class_name: str = Field(alias="class")
    label: int = Field(description="number of the class, from 0")
    score: float
    box: list[float] = Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels")


class RecordModel(BaseModel):
    """The detections in a photo, in the format of `detect --json`, for the description of the service."""

    image: str = Field(description="name of the file that was sent")
    width: int
    height: int
    seconds: float
    detections: list[DetectionModel]


class ErrorModel(BaseModel):
    """Why a request was not answered, for the description of the service."""

    error: str


PHOTO_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"photo": {"type": "string", "format": "binary"}},
                "required": ["photo"],
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
"""The body of a request, which FastAPI does not know, because the service reads it itself to limit its size."""

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorModel, "description": reason}
    for status, reason in {
        400: "The form is damaged.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
        422: "The body is no photo that can be read, or an option is wrong.",
        429: "Too many requests are waiting; the header Retry-After says when to try again.",
        503: "The service is stopping, or its GPU is lost.",
        504: "The answer was not ready in time.",
    }.items()
}


class WaitingRoom:
    """Counts the requests that are read or wait for an answer, and refuses those above the limit."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._waiting = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for the time of the block; raises an `HTTPException` with the status 429 if there is none."""
        if self._waiting >= self._limits.waiting:
            message = (
                f"service: expected at most {self._limits.waiting} requests at a time, got one more; try again later"
            )
            raise HTTPException(429, message, headers={"Retry-After": "1"})
        self._waiting += 1
        self._metrics.waiting.set(self._waiting)
        try:
            yield
        finally:
            self._waiting -= 1
            self._metrics.waiting.set(self._waiting)


def build_app(
    detector: Detector, queue: DetectionQueue, *, limits: Limits, metrics: Metrics, local_only: bool = True
) -> FastAPI:
    """Return the application.

    Args:
        detector: gives the classes and the defaults of the options.
        queue: answers the photos with this detector.
        limits: what a request may need.
        metrics: what is counted; `queue` counts its batches there too.
        local_only: refuse requests whose address is not that of this machine. Otherwise a web site could make a browser
            on this machine send photos here and read the answers, under a name that leads to this machine.
    """
    app = FastAPIOffline(
        title="detect-serve",
        description=DESCRIPTION,
        version=__version__,
        dependencies=[Depends(_require_local_name)] if local_only else [],
        exception_handlers={
            StarletteHTTPException: _refuse,
            RequestValidationError: _refuse_options,
            Exception: _refuse,
        },
    )
    app.add_middleware(MeasuredRequests, metrics=metrics)
    room = WaitingRoom(limits, metrics)
    page = build_drop_page(detector, limits)

    @app.post(
        DETECT_PATH, responses={200: {"model": RecordModel}, **REFUSALS}, openapi_extra={"requestBody": PHOTO_BODY}
    )
    async def detect(request: Request, options: Annotated[Options, Query()]) -> JSONResponse:
        """Find objects in a photo."""
        if len(request.query_params.getlist("threshold")) > 1:
            raise HTTPException(422, "threshold: expected one value, got several")
        class_names = _known_classes(options.classes, detector.class_names)
        with room.place():
            photo = await read_photo(request, limits, Options.model_fields)
            threshold = detector.score_threshold if options.threshold is None else options.threshold
            answer = await _answer(queue, photo, threshold, limits)
        return JSONResponse(_record(photo.name, answer, class_names, detector.max_detections))

    @app.get("/classes")
    async def classes() -> list[str]:
        """Return the names of the classes that the detector knows."""
        return list(detector.class_names)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", responses={503: {"model": ErrorModel}})
    async def healthz() -> dict[str, str]:
        """Tell whether photos can be answered."""
        if queue.failure is not None:
            raise HTTPException(503, queue.failure.line)
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def counted() -> PlainTextResponse:
        """Return counts of requests, errors and batches, and times, for Prometheus."""
        return PlainTextResponse(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def drop_page() -> HTMLResponse:
        return HTMLResponse(page)

    return app


async def _require_local_name(request: Request) -> None:
    name = request.url.hostname or ""
    with suppress(ValueError):  # a name, not the number of an address
        name = "localhost" if ipaddress.ip_address(name).is_loopback else name
    if name != "localhost":
        raise HTTPException(400, f"host: expected an address of this machine such as localhost, got {short_repr(name)}")


def _known_classes(names: list[str], class_names: tuple[str, ...]) -> list[str]:
    """Return the names as the detector spells them, or raise an `HTTPException`."""
    try:
        return [class_names[label] for label in find_labels(names, class_names)]
    except ValueError as error:
        raise HTTPException(422, f"classes: {error}; /classes lists all") from None


async def _answer(queue: DetectionQueue, photo: SentPhoto, threshold: float, limits: Limits) -> Answer:
    """Return the answer for a photo, or raise an `HTTPException`."""
    try:
        async with asyncio.timeout(limits.answer_seconds):
            # If the time is over, this cancels the future, and the queue leaves the photo out.
            return await asyncio.wrap_future(queue.submit(photo.content, photo.name, threshold))
    except TimeoutError:
        message = f"{photo.name}: expected detections within {limits.answer_seconds:g} seconds, got none"
        raise HTTPException(504, message, headers={"Retry-After": "1"}) from None
    except DeviceError as error:
        raise HTTPException(503, error.line) from None
    except InputError as error:
        raise HTTPException(422, error.line) from None


def _record(name: str, answer: Answer, classes: list[str], max_detections: int) -> Record:
    detections = answer.detections
    if classes:
        detections = detections[[row for row, class_name in enumerate(detections.names) if class_name in classes]]
    height, width = answer.size
    record = {"image": name, "width": width, "height": height, "seconds": round(answer.seconds, 3)}
    return record | {"detections": detections[:max_detections].to_dict()}


async def _refuse(request: Request, error: Exception) -> Refusal:
    if not isinstance(error, StarletteHTTPException):
        return Refusal("service: expected to find objects, got a fault of the program, which its log describes", 500)
    message = {
        404: f"path: expected an address that /docs lists, got {short_repr(request.url.path)}",
        405: f"method: expected one that /docs lists for {short_repr(request.url.path)}, got {request.method}",
    }.get(error.status_code, error.detail)
    return Refusal(message, error.status_code, error.headers)


async def _refuse_options(_: Request, error: RequestValidationError) -> Refusal:
    """Refuse a request by its first wrong option."""
    fault = error.errors()[0]
    name = str(fault["loc"][-1])
    if fault["type"] == "extra_forbidden":
        return Refusal(f"{name}: expected one of the options {', '.join(Options.model_fields)}", 422)
    return Refusal(f"{name}: expected a valid value ({fault['msg']}), got {short_repr(fault['input'])}", 422)
