"""What a request may need at most, so that the memory of the service is bounded."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """The limits of the service.

    Attributes:
        body_bytes: size of the body of a request.
        pixels: width times height of a photo.
        waiting: number of requests that are read or wait for their answer at the same time.
        upload_seconds: time in which a client has to send its request.
        answer_seconds: time in which a photo that was read has to be answered.
    """

    body_bytes: int = 20_000_000
    pixels: int = 50_000_000
    waiting: int = 32
    upload_seconds: float = 30.0
    answer_seconds: float = 120.0
