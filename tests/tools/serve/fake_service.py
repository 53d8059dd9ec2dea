"""A service with a detector of two classes that needs no network, and photos for it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import numpy as np
import PIL.Image

from detection.detector import Detector
from detection.errors import DeviceError
from detection.runtime.parallel.many_images import MAX_BATCH
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import Proposals, RegionScores
from tools.serve.detection_queue import DetectionQueue
from tools.serve.limits import Limits
from tools.serve.server import Server, build_service, running

CLASS_NAMES = ("cat", "<b>dog</b>")

FAULTY, LOST = 255, 254
"""Values of the blue channel for which the classifier raises: a fault of the program, and a lost GPU."""


class FakeStages:
    """Stages of a detector: one box, whose scores are the red (cat) and the green channel (dog) in steps of 1/255.

    While `gate` is closed, the classifier waits, which is told by `scoring`. `batches` has the number of photos of each
    call that succeeded.
    """

    class_names = CLASS_NAMES

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.scoring = threading.Event()
        self.batches: list[int] = []
        self.proposing: set[str] = set()

    def propose(self, image: Image) -> Proposals:
        self.proposing.add(threading.current_thread().name)
        height, width = image.shape[:2]
        return Proposals(np.array([[1, 2, width, height]], np.float32), np.ones(1, np.float32))

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        assert len(images) == len(boxes)
        self.scoring.set()
        assert self.gate.wait(60)
        colours = [image[0, 0].tolist() for image in images]
        if any(blue == LOST for _, _, blue in colours):
            raise DeviceError("device cuda:0: lost")
        if any(blue == FAULTY for _, _, blue in colours):
            raise ValueError("a fault of the program")
        self.batches.append(len(images))
        return [RegionScores(np.array([[0, red / 255, green / 255]], np.float32)) for red, green, _ in colours]


def fake_detector(stages: FakeStages, score_threshold: float = 0.5) -> Detector:
    return Detector(stages.propose, stages, score_threshold=score_threshold)


def photo(red: int = 0, green: int = 0, blue: int = 0, size: tuple[int, int] = (20, 30), kind: str = "png") -> bytes:
    """Return the file of a photo of one colour; `size` is (height, width)."""
    height, width = size
    file = io.BytesIO()
    PIL.Image.new("RGB", (width, height), (red, green, blue)).save(file, kind)
    return file.getvalue()


class Running(NamedTuple):
    """A service that runs in a thread of the test."""

    client: httpx.Client
    port: int
    stages: FakeStages
    server: Server
    queue: DetectionQueue

    def detect(self, content: bytes, **options: str | list[str]) -> httpx.Response:
        return self.client.post("/detect", content=content, params=options)

    def metric(self, name: str) -> float:
        """Return the value of a line of /metrics, 0 if there is none."""
        lines = self.client.get("/metrics").text.splitlines()
        return next((float(line.removeprefix(f"{name} ")) for line in lines if line.startswith(f"{name} ")), 0.0)


@contextmanager
def running_service(limits: Limits | None = None, *, batch: int = MAX_BATCH) -> Iterator[Running]:
    """Run a service in a thread for the time of the block, and stop it as a signal would."""
    stages = FakeStages()
    service = build_service(fake_detector(stages), limits or Limits(), batch=batch)
    with running(service) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            yield Running(client, port, stages, service.server, service.queue)
        finally:
            stages.gate.set()


def error_of(response: httpx.Response) -> str:
    """Return the line of a refused request; the answer has nothing else."""
    content = response.json()
    assert list(content) == ["error"]
    message: str = content["error"]
    assert message
    assert "\n" not in message
    return message
