"""Fixtures for tests of the whole pipeline: a photo, a small network and detector, annotations and a data set."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
import skimage.data
import torch
import yaml

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import save_weights
from detection.structures.arrays import Image

# The networks of the tests are so small that a second thread costs more time than it saves, also in child processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytest.register_assert_rewrite(
    "tests.classifier.training.samples.sampling_examples", "tests.detection.image.image_files"
)


def pytest_configure() -> None:
    """Let tests interrupt themselves: a shell makes what it starts in the background ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def photo_pixels() -> Image:
    """A photo as a read-only array, RGB [120, 160, 3]."""
    astronaut: Image = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    picture = PIL.Image.fromarray(astronaut[:384]).resize((160, 120))
    pixels: Image = np.asarray(picture)
    pixels.flags.writeable = False
    return pixels


@pytest.fixture
def photo(tmp_path: Path, photo_pixels: Image) -> Path:
    """The photo as a file, alone in the folder `photos`."""
    path = tmp_path / "photos" / "photo.jpg"
    path.parent.mkdir()
    PIL.Image.fromarray(photo_pixels).save(path)
    return path


@pytest.fixture(scope="session")
def tiny_description() -> NetworkDescription:
    return NetworkDescription(
        class_path="classifier.googlenet.GoogLeNet",
        init_args={"batch_norm": True, "stem_stride": 4, "width_multiplier": 0.125},
        class_names=("cat", "cup", "rocket"),
        input_size=32,
        context=2,
    )


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory, tiny_description: NetworkDescription) -> Path:
    """A weights file of a random network of three classes."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = tiny_description.build()
        network.get_parameter("linear.weight").mul_(0.1)  # or untrained normalisation would saturate every score
    save_weights(path, network, tiny_description)
    return path


@pytest.fixture
def detector_settings(tiny_weights: Path) -> dict[str, Any]:
    """The settings of a small detector, which a test may change before it writes them."""
    return {
        "propose": {"class_path": "proposals.selective_search.SelectiveSearch", "init_args": {"width": 128}},
        "classify": {
            "class_path": "classifier.region_classifier.RegionClassifier",
            "init_args": {"weights": str(tiny_weights), "device": "cpu"},
        },
        "score_threshold": 0.0,
    }


@pytest.fixture
def detector_config(tmp_path: Path, detector_settings: dict[str, Any]) -> Path:
    """A configuration file of a detector with `tiny_weights` and a score threshold of 0."""
    path = tmp_path / "detector.yaml"
    path.write_text(yaml.safe_dump(detector_settings), encoding="utf-8")
    return path


def voc_object(name: str, corners: Sequence[object], extra: str = "") -> str:
    tags = "".join(
        f"<{tag}>{corner}</{tag}>" for tag, corner in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object>\n<name>{name}</name>{extra}\n<bndbox>{tags}</bndbox>\n</object>"


@pytest.fixture(scope="session")
def write_xml() -> Callable[..., Path]:
    """Return `write(path, objects, size)`, which writes an annotation file of VOC.

    It has three lines of header, and then four lines for each object `(name, corners[, more tags])`.
    """

    def write(path: Path, objects: Sequence[tuple[object, ...]] = (), size: tuple[int, int] = (100, 200)) -> Path:
        height, width = size
        lines = ["<annotation>", "<filename>%s</filename>"]
        lines += [f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"]
        lines += [voc_object(*annotated) for annotated in objects]  # type: ignore[arg-type]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, "</annotation>"]), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set in the layout of Tiny ImageNet: four images of each class of `tiny_weights`."""
    folder = tmp_path_factory.mktemp("images")
    root = folder / "tiny-imagenet-200"
    (root / "val" / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    names = {"n1": "cat, true cat", "n2": "cup", "n3": "rocket"}
    annotations = []
    for index, wnid in enumerate(list(names) * 4):
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        PIL.Image.fromarray(coarse.repeat(16, axis=0).repeat(16, axis=1)).save(root / "val" / "images" / f"{index}.png")
        annotations.append(f"{index}.png\t{wnid}\t0\t0\t63\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(annotations), encoding="utf-8")
    (root / "wnids.txt").write_text("\n".join(names), encoding="utf-8")
    (root / "words.txt").write_text("".join(f"{wnid}\t{name}\n" for wnid, name in names.items()), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser without a window; skipped if none is installed."""
    from tests.headless_browser import start_browser  # noqa: PLC0415  few tests need Selenium

    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()
