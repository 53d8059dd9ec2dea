"""Proposals of a split into a cache: interrupted, gone on with, and what is left out."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from jsonargparse import Namespace

from detection.datasets import TinyImageNet
from detection.errors import InputError
from detection.image import read_image
from detection.structures.arrays import Image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals
from proposals.cache.index import index_path
from proposals.cache.reader import ProposalCache
from proposals.cache.writer import CacheWriter
from proposals.selective_search import SelectiveSearch
from tests.tools.conftest import SEARCHED_WIDTH, fill, message
from tools.command.image_proposals import cache_settings, open_cache, weights_checksums
from tools.data import propose
from tools.data.proposed_split import ProposalOutcome, ProposedSplit


def contents(path: Path) -> tuple[bytes, bytes]:
    return path.read_bytes(), index_path(path).read_bytes()


def test_cache_has_the_proposals_of_the_detector(filled: Path, tiny_images: Path) -> None:
    cache = ProposalCache(filled)
    search = SelectiveSearch(width=SEARCHED_WIDTH, min_side=8)
    records = TinyImageNet(tiny_images).read("val")
    assert len(cache) == len(records) == 12
    for record in records:
        expected, found = search(read_image(record.path)), cache[record.image_id]
        assert cache.size(record.image_id) == (64, 64)
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=2**-10)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=2**-11)
    assert cache.settings == {
        "propose": {
            "class_path": "proposals.selective_search.SelectiveSearch",
            "init_args": {
                "scales": [100, 200],
                "width": SEARCHED_WIDTH,
                "min_side": 8,
                "engine": "compiled",
                "sigma": 0.8,
            },
        },
        "dataset": {"class_path": "detection.datasets.TinyImageNet", "init_args": {}},
        "split": "val",
    }


def test_the_proposer_of_another_detector(
    search_options: list[str], detector_config: Path, filled: Path, tmp_path: Path
) -> None:
    path = tmp_path / "val.proposals"
    assert fill(search_options, path, "--detector", str(detector_config), "--limit", "1") == 0
    assert ProposalCache(path).settings["propose"]["init_args"]["width"] == 128
    assert ProposalCache(filled).settings["propose"]["init_args"]["width"] == SEARCHED_WIDTH != 128


def test_done_run_does_nothing(search_options: list[str], filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, times = contents(filled), filled.stat().st_mtime_ns
    assert fill(search_options, filled) == 0
    assert capsys.readouterr().out == f"{filled}: has the proposals of all 12 images already\n"
    assert (contents(filled), filled.stat().st_mtime_ns) == (before, times)


class KilledError(BaseException):
    """Stands for whatever ends a run at once."""


def test_interrupted_run_goes_on(
    search_options: list[str], filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Image] = []
    search = SelectiveSearch.__call__

    def killed_at_the_sixth(self: SelectiveSearch, image: Image) -> Proposals:
        if len(searched) == 5:
            raise KilledError
        searched.append(image)
        return search(self, image)

    path = tmp_path / "val.proposals"
    with monkeypatch.context() as patch:
        patch.setattr(SelectiveSearch, "__call__", killed_at_the_sixth)
        with pytest.raises(KilledError):
            fill(search_options, path)
    assert contents(filled)[1].startswith(contents(path)[1])
    assert contents(path)[1].count(b"\n") == 1 + 5
    assert fill(search_options, path) == 0
    assert contents(path) == contents(filled)


def test_few_images_first(search_options: list[str], filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "val.proposals"
    assert fill(search_options, path, "--limit", "3") == 0
    assert len(ProposalCache(path)) == 3
    assert fill(search_options, path) == 0
    partial, all_of_them = ProposalCache(path), ProposalCache(filled)
    assert len(partial) == 12
    records = TinyImageNet(search_options[-1]).read("val")
    assert all((partial[item.image_id].boxes == all_of_them[item.image_id].boxes).all() for item in records)


def test_broken_pictures_are_left_out(
    search_options: list[str], filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(search_options[-1], tmp_path / "data")
    pictures = data / "tiny-imagenet-200" / "val" / "images"
    kept = [(pictures / name).read_bytes() for name in ("3.png", "7.png")]
    (pictures / "3.png").write_bytes(b"nothing that shows")
    (pictures / "7.png").write_bytes(kept[1][:50])
    path = tmp_path / "val.proposals"
    assert fill([*search_options[:-1], str(data)], path) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[2] == "detect-propose: 2 images left out:"
    for reported, listed, name in zip(lines[:2], lines[3:], ("3.png", "7.png"), strict=True):
        assert reported == f"detect-propose: {listed}"
        assert listed.startswith(f"{pictures / name}: expected a readable image")
    cache = ProposalCache(path)
    assert len(cache) == 10
    for name, content in zip(("3.png", "7.png"), kept, strict=True):
        (pictures / name).write_bytes(content)
    assert fill([*search_options[:-1], str(data)], path) == 0
    mended, whole = ProposalCache(path), ProposalCache(filled)
    assert len(mended) == 12
    assert (mended["3"].boxes == whole["3"].boxes).all()


def test_pictures_of_another_size_than_their_annotation_stop_the_run(
    search_options: list[str], tiny_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(tiny_images, tmp_path / "data")
    path = data / "tiny-imagenet-200" / "val" / "images" / "5.png"
    PIL.Image.new("RGB", (48, 32)).save(path)
    assert fill([*search_options, "--data", str(data)], tmp_path / "out" / "val.proposals") == 1
    assert message(capsys).startswith(f"detect-propose: {path}: expected 64x64 px as in {data}")
    assert not list((tmp_path / "out").iterdir())


def test_replaced_pictures_are_refused(
    search_options: list[str], tiny_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, cache = shutil.copytree(tiny_images, tmp_path / "data"), tmp_path / "val.proposals"
    path = data / "tiny-imagenet-200" / "val" / "images" / "5.png"
    PIL.Image.new("RGB", (64, 64), "red").save(path)
    options = [*search_options, "--data", str(data)]
    assert fill(options, cache) == 0
    length = path.stat().st_size
    PIL.Image.new("RGB", (64, 64), "lime").save(path)
    assert path.stat().st_size == length
    capsys.readouterr()
    assert fill(options, cache) == 1
    expected = f"{cache}: expected proposals of {path}, got those of a file with the same length and other content; the"
    assert message(capsys).startswith(f"detect-propose: {expected}")


def namespace(**values: Any) -> Namespace:
    return Namespace(**values)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", ["everyday.safetensors", "multibox_photographs.safetensors"])
def test_shipped_weights_have_checksums(name: str) -> None:
    assert list(weights_checksums({"init_args": [{"weights": name}, "other", 3]})) == [name]


def test_proposals_of_other_weights_are_refused(tmp_path: Path) -> None:
    """A network may be trained again and exported to the same file."""
    weights, cache = tmp_path / "multibox.safetensors", tmp_path / "val.proposals"
    dataset = namespace(class_path="detection.datasets.COCO", init_args=namespace(root="data"))
    propose = namespace(class_path="some.Network", init_args=namespace(weights=str(weights), others=[1, "none"]))
    options = namespace(dataset=dataset, proposals=str(cache))
    weights.write_bytes(b"first")
    with CacheWriter(cache, cache_settings(options, propose)) as writer:
        writer.finish()
    assert open_cache(options, propose) is not None
    weights.write_bytes(b"other")
    with pytest.raises(InputError) as error:
        open_cache(options, propose)
    checksums = [f"{zlib.crc32(content):08x}" for content in (b"other", b"first")]
    assert error.value.line == (
        f"{cache}: expected a cache made with weights.{weights} {checksums[0]}, got one with {checksums[1]}"
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: Proposals(as_boxes([]), np.zeros(1, np.float32)),
            "expected proposals, got proposals.selective_search.proposer.SelectiveSearch: scores must have shape",
        ),
        (
            lambda: Proposals(as_boxes([(0, 0, 65, 64)]), np.zeros(1, np.float32)),
            "proposals of image 2: boxes must lie within",
        ),
    ],
)
def test_proposer_that_fails_on_an_image(
    make: Callable[[], Proposals],
    reason: str,
    *,
    search_options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[Image] = []
    search = SelectiveSearch.__call__

    def failing_at_the_third(self: SelectiveSearch, image: Image) -> Proposals:
        calls.append(image)
        return make() if len(calls) == 3 else search(self, image)

    monkeypatch.setattr(SelectiveSearch, "__call__", failing_at_the_third)
    path = tmp_path / "val.proposals"
    assert fill(search_options, path) == 1
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith(f"detect-propose: {search_options[-1]}/tiny-imagenet-200/val/images/2.png: {reason}")
    assert len(ProposalCache(path)) == 11
    assert fill(search_options, path) == 0
    assert len(ProposalCache(path)) == 12


def test_killed_process(
    search_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(self: ProposedSplit, index: int) -> ProposalOutcome:  # noqa: ARG001
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(ProposedSplit, "__getitem__", killed)
    assert fill(search_options, tmp_path / "val.proposals") == 1
    assert message(capsys).startswith("detect-propose: a loader process was killed, perhaps for want of memory")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--detector.propose.init_args.width", "64"), "propose.init_args.width 64, got one with 100"),
        (("--detector.propose", "proposals.whole_image.WholeImage"), "propose.class_path proposals.whole_image"),
        (("--split", "train"), "split train, got one with val"),
    ],
)
def test_cache_of_other_settings(
    more: tuple[str, ...], reason: str, search_options: list[str], filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(filled)
    assert fill(search_options, filled, *more) == 1
    assert f"detect-propose: {filled}: expected a cache made with {reason}" in message(capsys)
    assert contents(filled) == before


def test_options_that_do_not_do(search_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert propose.main(search_options) == 1  # the output of the experiment is a folder
    assert "expected a name that ends in .proposals" in message(capsys)
    assert fill(search_options, tmp_path / "a.proposals", "--detector.propose", "null") == 1
    assert message(capsys) == "detect-propose: detector.propose: expected a proposer in the file of --config, got none"
