"""`detect-coverage`: from the names of sources to tables, a CSV file and a plot."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import yaml

from detection.datasets import TinyImageNet
from detection.errors import InputError
from detection.structures.arrays import Image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals
from proposals.cache.writer import CacheWriter
from proposals.whole_image import WholeImage
from tools.measure.coverage import command as coverage
from tools.measure.coverage.sources import MeasuredImages

WHOLE = {"class_path": "proposals.whole_image.WholeImage"}
SEARCH = {
    "class_path": "proposals.selective_search.SelectiveSearch",
    "init_args": {"scales": [50], "width": 40, "min_side": 8},
}
QUARTER = as_boxes([(0, 0, 32, 32), (0, 0, 64, 64), (0, 0, 64, 64)])
"""Boxes in a picture of 64x64: a quarter, then all of it, twice."""


@pytest.fixture(name="run")
def tool_on_the_pictures(tiny_images: Path, tmp_path: Path) -> Callable[..., int]:
    """Return a function `run({"name": source}, *options)` that runs the command and returns its exit status."""

    def run(sources: dict[str, Any], *more: str, data: Path = tiny_images) -> int:
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump({"sources": sources}, sort_keys=False))
        options = ["--dataset", "detection.datasets.TinyImageNet", "--data", str(data), "--workers", "0"]
        return coverage.main(["--config", str(path), *options, *more])

    return run


def cache_file(path: Path, data: Path, *, split: str = "val", left_out: int = 0) -> str:
    """Write a cache with the boxes `QUARTER` for each picture of the validation split, and return its path."""
    settings = {"dataset": {"class_path": "detection.datasets.TinyImageNet", "init_args": {}}, "split": split}
    with CacheWriter(path, settings) as writer:
        for record in TinyImageNet(data).read("val")[left_out:]:
            writer.add(record, (64, 64), Proposals(QUARTER, np.zeros(3, np.float32)))
        writer.finish()
    return str(path)


def test_tables(run: Callable[..., int], tiny_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first cached box covers 1,024 of the object's 4,096 square pixels, and the second covers all of them."""
    cache = cache_file(tmp_path / "val.proposals", tiny_images)
    assert run({"the whole image": WHOLE, "cached": cache}, "--counts", "[2, 1]") == 0
    assert capsys.readouterr().out == (
        "12 images, 12 objects, 12 of them above 32x32 px\n"
        "\n"
        "                 proposals   share  coverage  average recall\n"
        "the whole image        1.0  100.0%    100.0%          100.0%\n"
        "cached                 3.0  300.0%    100.0%          100.0%\n"
        "\n"
        "Coverage (recall at IoU 0.5) of the first N proposals, objects above 32x32 px\n"
        "\n"
        "                      1       2     all\n"
        "the whole image  100.0%  100.0%  100.0%\n"
        "cached             0.0%  100.0%  100.0%\n"
        "\n"
        "Average recall (IoU 0.50 to 0.95) of the first N proposals, objects above 32x32 px\n"
        "\n"
        "                      1       2     all\n"
        "the whole image  100.0%  100.0%  100.0%\n"
        "cached             0.0%  100.0%  100.0%\n"
        "\n"
        "Coverage of all proposals by size of the objects\n"
        "\n"
        "                    all  above 32x32  small  medium  large\n"
        "objects              12           12      0      12      0\n"
        "the whole image  100.0%       100.0%      -  100.0%      -\n"
        "cached           100.0%       100.0%      -  100.0%      -\n"
    )


def test_sources_of_all_kinds(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sections = {"detector.yaml": {"propose": SEARCH}, "experiment.yaml": {"seed": 1, "detector": {"propose": SEARCH}}}
    for name, content in sections.items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    sources = {"a": SEARCH, "b": str(tmp_path / "detector.yaml")}
    assert run(sources, "--sources.c d", str(tmp_path / "experiment.yaml"), "--limit", "3") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("a ", "b ", "c d "))]
    assert len(rows) == 12
    assert all(row[-3:] == rows[0][-3:] for row in rows[:3])
    assert float(rows[0][1]) > 1


def test_files(run: Callable[..., int], tiny_images: Path, tmp_path: Path) -> None:
    table, picture = tmp_path / "new" / "figures.csv", tmp_path / "curves.png"
    cache = cache_file(tmp_path / "val.proposals", tiny_images)
    assert run({"cached, all": cache, "whole": WHOLE}, "--csv", str(table), "--plot", str(picture)) == 0
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (5 + 3) * 8  # sources, sizes and classes, numbers of proposals
    first, second = rows[0], next(row for row in rows if row["objects"] == "class cup" and row["first"] == "10")
    assert list(first.values()) == ["cached, all", "all", "12", "1", "1.0", "0.000000", "0.000000"]
    assert list(second.values()) == ["cached, all", "class cup", "4", "10", "3.0", "1.000000", "1.000000"]
    assert {row["recall"] for row in rows if row["objects"] == "small"} == {"nan"}
    with PIL.Image.open(picture) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (1650, 675))


def break_boxes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def claim_other_pictures(path: Path) -> None:
    index = path.with_name(f"{path.name}.index")
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join([lines[0], lines[1].replace("64, 64, ", "64, 64, 1"), *lines[2:]]))


@pytest.mark.parametrize(
    ("settings", "harm", "reason"),
    [
        ({}, break_boxes, "expected 396 bytes of boxes as its index says, got 395"),
        ({}, claim_other_pictures, "the cache is of another data set, or the image has changed"),
        ({"split": "train"}, None, "expected a cache made with split val, got one with train"),
        ({"left_out": 1}, None, "expected proposals of image '0', got none"),
    ],
)
def test_caches_that_do_not_fit(
    settings: dict[str, Any],
    harm: Callable[[Path], None] | None,
    reason: str,
    *,
    run: Callable[..., int],
    tiny_images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "some.proposals"
    cache_file(path, tiny_images, **settings)
    if harm is not None:
        harm(path)
    assert run({"whole": WHOLE, "cached": str(path)}) == 1
    output = capsys.readouterr()
    assert output.err.startswith(f"detect-coverage: cached: {path}: ")
    assert reason in output.err
    assert output.err.endswith("; the source is left out\n")
    assert output.err.count("\n") == 1
    assert "\nwhole " in output.out
    assert "\ncached" not in output.out


def test_cache_of_another_reader(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.proposals"
    with CacheWriter(path, {"dataset": {"class_path": "detection.datasets.COCO", "init_args": {}}}) as writer:
        writer.finish()
    assert run({"cached": str(path)}) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "made with dataset.class_path detection.datasets.TinyImageNet, got one with detection.data" in lines[0]
    assert lines[1] == "detect-coverage: sources: expected one that can be used, got none of 1"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"class_path": "proposals.nowhere.Nothing"}, "expected the settings of a proposer: "),
        ({"class_path": "proposals.whole_image.WholeImage", "init_args": {"size": 3}}, "Option 'size' is not accepted"),
        (SEARCH | {"init_args": {"width": -1}}, "expected positive scales and width"),
        ("missing.yaml", "missing.yaml: expected a YAML file: No such file"),
        ("missing.proposals", "missing.proposals: no such cache of proposals"),
        (7, "expected the settings of a proposer: "),
        ("classes.yaml", "classes.yaml: expected a section propose or detector.propose, or a cache of .proposals"),
    ],
    ids=str,
)
def test_sources_that_cannot_be_used(
    source: object,
    reason: str,
    *,
    run: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("classes.yaml").write_text("classify: {}\n")
    assert run({"strange": source, "whole": WHOLE}) == 1
    output = capsys.readouterr()
    assert output.err.startswith("detect-coverage: strange: ")
    assert reason in output.err
    assert output.err.count("\n") == 1
    assert "12 images, 12 objects" in output.out


def test_weights_that_are_missing(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_weights(self: WholeImage) -> None:  # noqa: ARG001
        raise InputError("some.safetensors: expected weights, got no such file")

    monkeypatch.setattr(WholeImage, "__init__", no_weights)
    merged = {"class_path": "proposals.merge.MergedProposer", "init_args": {"proposers": [SEARCH, WHOLE]}}
    assert run({"alone": SEARCH, "merged": merged}) == 1
    output = capsys.readouterr()
    assert output.err == (
        "detect-coverage: merged: some.safetensors: expected weights, got no such file; the source is left out\n"
    )
    assert "\nalone" in output.out


def test_image_that_a_source_fails_on(
    run: Callable[..., int], tiny_images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image counts for no source, so that all sources are measured on the same images."""
    calls: list[Image] = []
    original = WholeImage.__call__

    def failing_at_the_third(self: WholeImage, image: Image) -> Proposals:
        calls.append(image)
        if len(calls) == 3:
            raise MemoryError("no more\nroom")
        return original(self, image)

    monkeypatch.setattr(WholeImage, "__call__", failing_at_the_third)
    assert run({"search": SEARCH, "whole": WHOLE}) == 1
    output = capsys.readouterr()
    assert output.err == (
        f"detect-coverage: whole: {tiny_images}/tiny-imagenet-200/val/images/2.png: expected proposals, "
        "got MemoryError: no more room; the image is left out\n"
    )
    assert output.out.startswith("11 images, 11 objects")


def test_image_that_cannot_be_read(
    run: Callable[..., int], tiny_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(tiny_images, tmp_path / "data")
    for picture in (data / "tiny-imagenet-200" / "val" / "images").glob("1*.png"):
        picture.write_bytes(b"nothing that shows")
    assert run({"whole": WHOLE}, data=data) == 1
    output = capsys.readouterr()
    assert [line.split(": ")[2][-6:] for line in output.err.splitlines()] == ["/1.png", "10.png", "11.png"]
    assert output.out.startswith("9 images, 9 objects")
    for picture in (data / "tiny-imagenet-200" / "val" / "images").iterdir():
        picture.write_bytes(b"nothing that shows")
    assert run({"whole": WHOLE}, data=data) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"detect-coverage: {data}: expected images in split 'val', got none that can be used"
    )


def test_killed_process(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(self: MeasuredImages, index: int) -> InputError:  # noqa: ARG001
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(MeasuredImages, "__getitem__", killed)
    assert run({"whole": WHOLE}) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("detect-coverage: a loader process was killed, perhaps")


def test_output_that_cannot_be_written(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"whole": WHOLE}, "--csv", "figures.txt") == 1
    assert run({"whole": WHOLE}, "--plot", "curves.jpg") == 1
    assert capsys.readouterr().err == (
        "detect-coverage: figures.txt: expected a name that ends in .csv\n"
        "detect-coverage: curves.jpg: expected a name that ends in .png\n"
    )
