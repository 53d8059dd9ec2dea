"""The benchmark of the service: requests per second where photos are scored together, and where each is scored alone.

detect-benchmark service --clients 8

Clients on this machine send photos at the same time, each the next one as soon as it has an answer. The services with
different sizes of batches share one detector and take turns.
"""

from __future__ import annotations

import http.client
import io
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import cycle, islice

import PIL.Image

from detection.configuration import load_detector
from detection.errors import InputError
from detection.runtime.parallel.many_images import MAX_BATCH
from detection.structures.arrays import Image
from tools.command.option_parser import OptionParser
from tools.command.options import Count, add_detector_options, whole
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.benchmark.proposals import read_images
from tools.measure.benchmark.timing import time_run
from tools.report.json_values import write_json
from tools.report.text_table import format_table
from tools.serve.command import require_libraries
from tools.serve.limits import Limits


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark service", description="Time the service with and without batches.")
    parser.add_argument("--images", nargs="*", metavar="IMAGE", help="photos to send; default: four of scikit-image")
    add_detector_options(parser)
    parser.add_argument("--clients", type=whole(1, 256), default=8, help="requests that are sent at the same time")
    parser.add_argument("--requests", type=Count, default=32, help="requests of each run")
    parser.add_argument(
        "--batches",
        nargs="+",
        type=whole(1, 256),
        default=[1, MAX_BATCH],
        help="largest numbers of photos scored together",
    )
    parser.add_argument("--repeat", type=Count, default=3, help="rounds, in each of which every size has a turn")
    add_output_options(parser, "json")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table with a row for each size of batches.

    Raises:
        InputError: if the detector cannot be used, or the libraries of the service are missing.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    (json_file,) = prepare_outputs(parser, options, "json")
    require_libraries()
    from tools.serve.server import build_service, running  # noqa: PLC0415  FastAPI is optional

    photos = [encode(image) for image in read_images(options.images).values()]
    detector = load_detector(options.config, options.device)
    limits = Limits(waiting=options.clients, answer_seconds=3600)
    seconds: dict[int, list[float]] = {batch: [] for batch in options.batches}
    with ThreadPoolExecutor(options.clients) as clients:
        for turn in range(options.repeat + 1):
            for batch, times in seconds.items():
                with running(build_service(detector, limits, batch=batch)) as port:
                    sent = islice(cycle(photos), options.requests)
                    run, _ = time_run(partial(list, clients.map(partial(ask, port), sent)))
                if turn:  # the first one compiles code and loads libraries
                    times.append(run)
    print(f"{options.requests} requests of {options.clients} clients")
    print(format_seconds(seconds, options.requests))
    write_json(json_file, {"requests": options.requests, "clients": options.clients, "seconds": seconds})


def encode(image: Image) -> bytes:
    """Return an image as the content of a JPEG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def ask(port: int, photo: bytes) -> None:
    """Send a photo to the service, and wait for its detections.

    Raises:
        InputError: if the service refuses the photo.
    """
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("POST", "/detect", photo)
        answer = connection.getresponse()
        if (content := answer.read()) and answer.status != 200:
            raise InputError(f"service: expected detections, got status {answer.status}: {content.decode()}")


def format_seconds(seconds: dict[int, list[float]], requests: int) -> str:
    """Return a table of the requests per second of each size of batches, and their ratio to those of the first size."""
    rates = {batch: requests / statistics.median(times) for batch, times in seconds.items()}
    first = next(iter(rates.values()))
    rows = [(f"{batch}", f"{rate:.2f}", f"{rate / first:.2f}x") for batch, rate in rates.items()]
    return format_table([("photos together", "requests per second", "ratio"), *rows])
