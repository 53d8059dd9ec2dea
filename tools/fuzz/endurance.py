"""The action `endurance`: many pictures in one process; its memory, its open files and its speed must stay the same.

python -m tools.fuzz endurance --images 10000 --ways detector stream service folder
"""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import yaml

from detection.configuration import load_detector
from detection.detector import Detector
from detection.runtime.child_process import child_environment
from detection.structures.arrays import Image
from tools.command.option_parser import OptionParser
from tools.fuzz.inputs.detector_files import WEIGHTS, write_tiny_weights
from tools.fuzz.inputs.worker import memory, open_files

WARM_UP = 0.2
"""The share of the pictures after which the memory is measured for the first time."""

MAX_GROWTH = 0.05
"""The largest share by which the memory may grow from then on."""

SIZES = ((120, 160), (160, 120), (96, 200), (150, 150))
"""Heights and widths of the pictures, one after the other, since code may keep something for each size."""

CLOSING_TIME = 1.0
"""The number of seconds that a process has to close the files of the last picture."""

EXTRA_PICTURES = 50
"""The number of pictures that follow the measured ones in a folder, so that the command still runs at the last
measurement."""

HEADING = re.compile(r"^/.*\.png: (\d+) objects? \(")
"""The line that the command `detect` prints after each picture; its group is the number of detections."""

Way = Callable[[Detector, Iterator[Image]], Iterator[int]]


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="python -m tools.fuzz endurance", description="Detect in many pictures.")
    parser.add_argument("--images", type=int, default=1000, help="number of pictures for each way")
    parser.add_argument("--ways", type=str, nargs="+", choices=WAY_NAMES, default=list(WAY_NAMES), help="how to detect")
    parser.add_argument("--detector", type=str, help="configuration of the detector; without it a small one is made")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Detect in the pictures, print a line for each way, and return 1 if something grew, else 0."""
    settings = build_parser().parse_args(arguments)
    status = 0
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        config = settings.detector or str(write_detector(Path(folder)))
        for way in settings.ways:
            if way == "folder":
                line, steady = measure_folder(config, settings.images)
            else:
                line, steady = measure(WAYS[way], load_detector(config), settings.images)
            print(f"{way}: {line}", flush=True)
            status |= int(not steady)
    return status


def write_detector(folder: Path) -> Path:
    """Write a small detector, and return its configuration file."""
    write_tiny_weights(folder / WEIGHTS)
    region_classifier = "classifier.region_classifier.RegionClassifier"
    settings = {
        "propose": {"class_path": "proposals.selective_search.SelectiveSearch", "init_args": {"width": 100}},
        "classify": {"class_path": region_classifier, "init_args": {"weights": WEIGHTS, "device": "cpu"}},
        "score_threshold": 0.0,
    }
    path = folder / "detector.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def pictures(count: int) -> Iterator[Image]:
    """Yield pictures of rectangles in random colours, always the same ones."""
    random = np.random.default_rng(0)
    for height, width in itertools.islice(itertools.cycle(SIZES), count):
        picture = np.full((height, width, 3), random.integers(256, size=3), np.uint8)
        for _ in range(12):
            top, left = random.integers(0, height - 8), random.integers(0, width - 8)
            bottom, right = top + random.integers(8, 80), left + random.integers(8, 80)
            picture[top:bottom, left:right] = random.integers(256, size=3)
        yield picture


def measure(way: Way, detector: Detector, count: int) -> tuple[str, bool]:
    """Detect in `count` pictures; return a line of figures, and True if memory and open files stayed the same."""
    return watch(way(detector, pictures(count)), count)


def measure_folder(config: str, count: int) -> tuple[str, bool]:
    """Let the command `detect` read a folder of `count` pictures, and return what `measure` returns.

    The command keeps its detections until it ends, so it is limited to one detection for each picture.
    """
    command = [sys.executable, "-P", "-c", "from detection.cli import run; run()", "--config", config]
    environment = child_environment() | {"PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        for number, picture in enumerate(pictures(count + EXTRA_PICTURES)):
            PIL.Image.fromarray(picture).save(Path(folder, f"{number:06}.png"), compress_level=1)
        command += [folder, "--no-image", "--max-detections", "1"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            headings = filter(None, map(HEADING.match, process.stdout or ()))
            try:
                return watch((int(heading[1]) for heading in headings), count, process.pid)
            finally:
                process.kill()


def watch(results: Iterator[int], count: int, process: int | str = "self") -> tuple[str, bool]:
    """Measure a process while it detects; return a line of figures, and True if memory and open files stayed the same.

    Args:
        results: the number of detections of each picture, as soon as the process has them.
        count: the number of pictures to watch.
        process: the number of the process, or "self" for this one.
    """
    first = max(1, int(WARM_UP * count))
    before, files, total = 0.0, 0, 0
    times = [time.perf_counter()]
    for number, detections in enumerate(itertools.islice(results, count), start=1):
        total += detections
        times.append(time.perf_counter())
        if number == first:
            before, files = memory("VmRSS", process), open_files(process)
    after, more_files = memory("VmRSS", process), _additional_files(files, process)
    quarter = max(1, (count - first) // 4)
    early = (times[first + quarter] - times[first]) / quarter
    late = (times[-1] - times[-1 - quarter]) / quarter
    growth = after / before - 1
    line = (
        f"{count} pictures, {total} detections; {before:.0f} MiB after {first} pictures, {after:.0f} MiB at the end "
        f"({growth:+.1%}), {more_files:+d} open files; {1000 * early:.1f} ms a picture at first, "
        f"{1000 * late:.1f} at last"
    )
    return line, growth <= MAX_GROWTH and more_files <= 0


def _additional_files(before: int, process: int | str) -> int:
    """Return how many more files are open than before, which is negative for fewer.

    The service closes a connection in a thread of its own, so the last connection may still be open for a moment.
    """
    end = time.perf_counter() + CLOSING_TIME
    while (more := open_files(process) - before) > 0 and time.perf_counter() < end:
        time.sleep(0.01)
    return more


def _one_by_one(detector: Detector, images: Iterator[Image]) -> Iterator[int]:
    for image in images:
        yield len(detector(image))


def _stream(detector: Detector, images: Iterator[Image]) -> Iterator[int]:
    for result in detector.stream(images):
        yield len(result.detections)


def _service(detector: Detector, images: Iterator[Image]) -> Iterator[int]:
    """Send the pictures to the service over HTTP, one after the other, each in a connection of its own."""
    from tools.serve.limits import Limits  # noqa: PLC0415
    from tools.serve.server import build_service, running  # noqa: PLC0415  optional packages

    with running(build_service(detector, Limits())) as port:
        for image in images:
            file = io.BytesIO()
            PIL.Image.fromarray(image).save(file, "PNG")
            request = urllib.request.Request(f"http://127.0.0.1:{port}/detect?threshold=0", data=file.getvalue())
            with urllib.request.urlopen(request) as answer:
                yield len(json.load(answer)["detections"])


WAYS: dict[str, Way] = {"detector": _one_by_one, "stream": _stream, "service": _service}

WAY_NAMES = (*WAYS, "folder")
