"""The kinds of inputs that are damaged, with the limits of each."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tools.fuzz.inputs.target import Limits, Target


class Kind(NamedTuple):
    """A kind of input: the function that makes its target in a folder, and what the reading of one input may take."""

    make: Callable[[Path], Target]
    limits: Limits


def _images(folder: Path) -> Target:
    from tools.fuzz.inputs.image_files import ImageFiles  # noqa: PLC0415  each process needs one of these modules

    return ImageFiles(folder)


def _archives(folder: Path) -> Target:
    from tools.fuzz.inputs.image_files import Archives  # noqa: PLC0415

    return Archives(folder)


def _videos(folder: Path) -> Target:
    from tools.fuzz.inputs.video_files import Videos  # noqa: PLC0415

    return Videos(folder)


def _annotations(layout: str, folder: Path) -> Target:
    from tools.fuzz.inputs.annotations import AnnotatedFolder  # noqa: PLC0415

    return AnnotatedFolder(folder, layout)


def _result_files(name: str, folder: Path) -> Target:
    from tools.fuzz.inputs import result_files  # noqa: PLC0415

    target: Target = getattr(result_files, name)(folder)
    return target


def _detector_files(name: str, folder: Path) -> Target:
    from tools.fuzz.inputs import detector_files  # noqa: PLC0415

    target: Target = getattr(detector_files, name)(folder)
    return target


def _onnx_files(folder: Path) -> Target:
    from tools.fuzz.inputs.onnx_files import OnnxFiles  # noqa: PLC0415

    return OnnxFiles(folder)


KINDS: Mapping[str, Kind] = {
    # A picture of `MAX_PIXELS` takes 0.5 GB, and its decoding three times that.
    "images": Kind(_images, Limits(seconds=20, mebibytes=2100)),
    "archives": Kind(_archives, Limits(seconds=20, mebibytes=2100)),
    "videos": Kind(_videos, Limits(seconds=20, mebibytes=2100)),
    **{layout: Kind(partial(_annotations, layout), Limits(10, 300)) for layout in ("voc", "coco", "yolo", "csv")},
    "detections": Kind(partial(_result_files, "DetectionFiles"), Limits(10, 300)),
    "results": Kind(partial(_result_files, "RunResults"), Limits(10, 300)),
    "caches": Kind(partial(_result_files, "ProposalCaches"), Limits(10, 300)),
    "configurations": Kind(partial(_detector_files, "Configurations"), Limits(20, 600)),
    "weights": Kind(partial(_detector_files, "WeightsFiles"), Limits(10, 600)),
    "onnx": Kind(_onnx_files, Limits(10, 600)),
}
