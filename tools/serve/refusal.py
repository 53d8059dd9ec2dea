"""The answer to a request that is refused or fails: one line, as JSON with the field `error`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

DISCARD_SECONDS = 2.0
"""The time for which the rest of a refused body is read."""


class Refusal(JSONResponse):
    """The answer to a request whose body may be on its way.

    It is sent at once. Then the rest of the body is read and dropped for a short time, before the connection is closed:
    many clients read no answer while they send, and would report a broken connection.

    Args:
        message: the line for the user.
        status: the status code of HTTP.
        headers: further headers.
    """

    def __init__(self, message: str, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__({"error": message}, status, {**(headers or {}), "Connection": "close"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        # A client with the header `Expect` sends no body before it is asked for it, which `receive` would do.
        if not scope.get("state", {}).get("body_is_read") and "expect" not in Headers(scope=scope):
            await _discard_body(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard_body(receive: Receive) -> None:
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while (await receive()).get("more_body"):  # a client that has gone has no more
                pass
    except TimeoutError:
        return
