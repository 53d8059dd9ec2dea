"""The command `detect-serve`: a service on this machine that finds objects in the photos that are sent to it.

detect-serve --port 8000
curl --data-binary @photo.jpg 'http://127.0.0.1:8000/detect?threshold=0.3&classes=cat&classes=dog'
curl --form photo=@photo.jpg http://127.0.0.1:8000/detect

A browser shows a page at http://127.0.0.1:8000/ on which one drops photos, and the description of the service at /docs.
Ctrl-C or SIGTERM answers the requests that have begun, and then ends the command with the status 0.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import signal
import socket
import sys
from collections.abc import Sequence

import numpy as np
from jsonargparse import Namespace

from detection.configuration import load_detector
from detection.detector import Detector
from detection.errors import InputError
from detection.image import MAX_PIXELS
from detection.runtime.parallel.many_images import MAX_BATCH
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import add_detector_options, real, whole
from tools.serve.limits import Limits

NAME = "detect-serve"

LIBRARIES = ("fastapi", "fastapi_offline", "prometheus_client", "python_multipart", "uvicorn")

MEGABYTE = 1_000_000


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    usual = Limits()
    parser = OptionParser(prog=NAME, description="Serve detections to programs and browsers on this machine.")
    add_detector_options(parser)
    parser.add_argument(
        "--host", type=str, default="127.0.0.1", help="address to listen at; 0.0.0.0: all of the machine"
    )
    parser.add_argument("--port", type=whole(0, 65535), default=8000, help="port to listen at; 0: any free one")
    parser.add_argument(
        "--batch", type=whole(1, 256), default=MAX_BATCH, help="largest number of photos scored together"
    )
    parser.add_argument(
        "--max-megabytes", type=real(0.001, 1000), default=usual.body_bytes / MEGABYTE, help="largest body of a request"
    )
    parser.add_argument(
        "--max-megapixels",
        type=real(0.000_001, MAX_PIXELS / MEGABYTE),
        default=usual.pixels / MEGABYTE,
        help="largest photo",
    )
    parser.add_argument(
        "--max-waiting", type=whole(1, 400), default=usual.waiting, help="requests at a time; further ones are refused"
    )
    parser.add_argument(
        "--upload-seconds", type=real(0.1, 3600), default=usual.upload_seconds, help="time to send a request"
    )
    parser.add_argument(
        "--answer-seconds", type=real(0.1, 3600), default=usual.answer_seconds, help="time to answer a photo"
    )
    return parser


@command(NAME)
def main(arguments: Sequence[str]) -> int:
    """Load the detector, serve until a signal arrives, and return the exit status."""
    options = build_parser().parse_args(arguments)
    require_libraries()
    from tools.serve.server import listen  # noqa: PLC0415  uvicorn is optional, and not needed for --help

    listening = listen(options.host, int(options.port))
    with listening:
        detector = load_detector(options.config, options.device)
        # The first photo would take much longer, because loops are compiled and libraries loaded.
        detector(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
        return serve(detector, listening, limits_of(options), batch=options.batch)


def require_libraries() -> None:
    """Check that the optional libraries of the service are installed; raises an `InputError` that names one."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"expected the library {missing[0]}; pip install 'inception-rcnn[serve]' adds it")


def limits_of(options: Namespace) -> Limits:
    """Return the limits that the options set."""
    return Limits(
        body_bytes=int(options.max_megabytes * MEGABYTE),
        pixels=int(options.max_megapixels * MEGABYTE),
        waiting=options.max_waiting,
        upload_seconds=options.upload_seconds,
        answer_seconds=options.answer_seconds,
    )


def serve(detector: Detector, listening: socket.socket, limits: Limits, *, batch: int) -> int:
    """Serve a detector on a socket that listens, until a signal arrives; return the exit status.

    Raises:
        DeviceError: if the GPU was lost.
    """
    from tools.serve.server import build_service  # noqa: PLC0415  FastAPI is optional, and not needed for --help

    host, port = listening.getsockname()[:2]
    local = ipaddress.ip_address(host).is_loopback
    server, queue = build_service(detector, limits, batch=batch, local_only=local)
    place = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"{NAME}: ready at {place}, with a page for a browser; Ctrl-C stops it", file=sys.stderr, flush=True)
    if not local:
        print(f"{NAME}: everybody who reaches this address may send photos", file=sys.stderr, flush=True)
    try:
        server.run(sockets=[listening])
    finally:
        queue.close(wait=not server.force_exit)
    if queue.failure is not None:
        raise queue.failure
    return 128 + signal.SIGINT if server.force_exit else 0
