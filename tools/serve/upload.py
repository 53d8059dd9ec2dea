"""Reads the photo of a request, within the limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import NamedTuple

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from tools.serve.limits import Limits

BODY_NAME = "photo"
"""The name of a photo that is sent without one."""

MAX_FIELDS = 16
"""The largest number of other fields in a form, which are not used."""


class SentPhoto(NamedTuple):
    """The content of the file that a client has sent, and its name."""

    content: bytes
    name: str


async def read_photo(request: Request, limits: Limits, options: Collection[str]) -> SentPhoto:
    """Return the photo in the body: a form of the type multipart/form-data with one file, or the bytes of the file.

    Args:
        request: the request.
        limits: what it may need.
        options: the names of the options. They belong into the address, and a form must not have fields of these names.

    Raises:
        HTTPException: 408 if the body does not arrive in time, 413 if it is too large, 422 if it holds no photo,
            several, or an option, 400 if the form is damaged or the client has gone.
    """
    body = await _read_body(request, limits)
    content_type = request.headers.get("content-type", "")
    photo = SentPhoto(body, BODY_NAME)
    if content_type.lower().startswith("multipart/"):
        photo = await _read_form(request, body, options)
    if not photo.content:
        raise HTTPException(422, f"{photo.name}: expected the bytes of a photo, got none")
    return photo


async def _read_body(request: Request, limits: Limits) -> bytes:
    announced = request.headers.get("content-length", "0")
    too_large = HTTPException(413, f"body: expected at most {limits.body_bytes} bytes, got more")
    if announced.isdecimal() and int(announced) > limits.body_bytes:
        raise too_large
    body = bytearray()  # a list of chunks would take more memory, where a client sends many small ones
    try:
        async with asyncio.timeout(limits.upload_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body_bytes:
                    raise too_large
    except TimeoutError:
        message = f"body: expected all of it within {limits.upload_seconds:g} seconds, got {len(body)} bytes"
        raise HTTPException(408, message) from None
    except ClientDisconnect:
        raise HTTPException(400, "body: expected all of it, but the client has closed the connection") from None
    request.state.body_is_read = True
    return bytes(body)


async def _read_form(request: Request, body: bytes, options: Collection[str]) -> SentPhoto:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""

    parser = MultiPartParser(request.headers, chunks(), max_files=2, max_fields=MAX_FIELDS)
    parser.spool_max_size = len(body) + 1  # the photo is in memory anyway, so no file is needed
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError) as error:  # older releases of Starlette let the second one pass
        raise HTTPException(400, f"body: expected a form of the type multipart/form-data, got: {error}") from None
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if misplaced := next((name for name in form if name in options), None):
            wanted = f"{request.url.path}?{misplaced}=..."
            raise HTTPException(
                422, f"{misplaced}: expected options in the address, as in {wanted}, got a field of a form"
            )
        if len(files) != 1:
            raise HTTPException(422, f"body: expected a form with one file, got {len(files) or 'none'}")
        return SentPhoto(await files[0].read(), files[0].filename or BODY_NAME)
    finally:
        await form.close()
