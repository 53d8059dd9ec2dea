"""Proposals of a split into a cache, and the tools that read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from detection.arrays import FloatArray, Image, IntArray
from detection.boxes import as_boxes
from detection.configuration import build_detector
from detection.contracts import Proposals
from detection.datasets import TinyImageNet
from detection.errors import InputError
from detection.image import read_image
from proposals.cache import ProposalCache
from proposals.cache_index import index_path
from proposals.selective_search import SelectiveSearch
from tools import evaluate, evaluate_run, propose, train_classifier
from tools.image_proposals import ImageProposals

# Lightning's own remarks on small runs.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")

WIDTH = 100
"""The pictures are 40 wide, so their boxes lie on multiples of 0.4 pixels, which are rounded."""


@pytest.fixture(name="config", scope="module")
def small_experiment(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    settings = yaml.safe_load(Path("configs/tiny_imagenet.yaml").read_text())
    settings |= {"workers": 0, "train_split": "val", "batch_size": 4, "input_size": 32, "output": str(folder / "run")}
    settings["network"]["init_args"]["width_multiplier"] = 0.125
    settings["detector"]["propose"]["init_args"]["width"] = WIDTH
    settings["detector"]["classify"]["init_args"] = {"weights": str(tiny_weights), "device": "cpu"}
    settings["trainer"] = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(name="options")
def options_of_the_experiment(config: Path, tiny_images: Path) -> list[str]:
    return ["--config", str(config), "--data", str(tiny_images)]


def fill(options: list[str], path: Path, *more: str) -> int:
    return propose.main([*options, "--split", "val", "--output", str(path), *more])


@pytest.fixture(name="filled", scope="module")
def filled_cache(config: Path, tiny_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cache") / "val.proposals"
    assert fill(["--config", str(config), "--data", str(tiny_images)], path) == 0
    return path


def contents(path: Path) -> tuple[bytes, bytes]:
    return path.read_bytes(), index_path(path).read_bytes()


def message(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a failing run prints."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_cache_has_the_proposals_of_the_detector(filled: Path, tiny_images: Path) -> None:
    cache = ProposalCache(filled)
    search = SelectiveSearch(width=WIDTH, min_side=8)
    records = TinyImageNet(tiny_images).read("val")
    assert len(cache) == len(records) == 12
    for record in records:
        expected, found = search(read_image(record.path)), cache[record.image_id]
        assert cache.size(record.image_id) == (40, 40)
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=2**-11)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=2**-11)
    assert cache.settings == {
        "propose": {
            "class_path": "proposals.selective_search.SelectiveSearch",
            "init_args": {"scales": [100, 200], "width": WIDTH, "min_side": 8, "engine": "compiled"},
        },
        "dataset": {"class_path": "detection.datasets.TinyImageNet", "init_args": {}},
        "split": "val",
    }


def test_done_run_does_nothing(options: list[str], filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, times = contents(filled), filled.stat().st_mtime_ns
    assert fill(options, filled) == 0
    assert capsys.readouterr().out == f"{filled}: has the proposals of all 12 images already\n"
    assert (contents(filled), filled.stat().st_mtime_ns) == (before, times)


class KilledError(BaseException):
    """Stands for whatever ends a run at once."""


def test_interrupted_run_goes_on(
    options: list[str], filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
            fill(options, path)
    assert contents(filled)[1].startswith(contents(path)[1])
    assert contents(path)[1].count(b"\n") == 1 + 5
    assert fill(options, path) == 0
    assert contents(path) == contents(filled)


def test_few_images_first(options: list[str], filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "val.proposals"
    assert fill(options, path, "--limit", "3") == 0
    assert len(ProposalCache(path)) == 3
    assert fill(options, path) == 0
    some, all_of_them = ProposalCache(path), ProposalCache(filled)
    assert len(some) == 12
    records = TinyImageNet(options[-1]).read("val")
    assert all((some[one.image_id].boxes == all_of_them[one.image_id].boxes).all() for one in records)


def test_broken_pictures_are_left_out(
    options: list[str], filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(options[-1], tmp_path / "data")
    pictures = data / "tiny-imagenet-200" / "val" / "images"
    kept = [(pictures / name).read_bytes() for name in ("3.png", "7.png")]
    (pictures / "3.png").write_bytes(b"nothing that shows")
    (pictures / "7.png").write_bytes(kept[1][:50])
    path = tmp_path / "val.proposals"
    assert fill([*options[:-1], str(data)], path) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[2] == "propose: 2 images left out:"
    for reported, listed, name in zip(lines[:2], lines[3:], ("3.png", "7.png"), strict=True):
        assert reported == f"propose: {listed}"
        assert listed.startswith(f"{pictures / name}: expected a readable image")
    cache = ProposalCache(path)
    assert len(cache) == 10
    for name, content in zip(("3.png", "7.png"), kept, strict=True):
        (pictures / name).write_bytes(content)
    assert fill([*options[:-1], str(data)], path) == 0
    mended, whole = ProposalCache(path), ProposalCache(filled)
    assert len(mended) == 12
    assert (mended["3"].boxes == whole["3"].boxes).all()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: Proposals(as_boxes([]), np.zeros(1, np.float32)),
            "expected proposals, got ValueError: scores must have shape",
        ),
        (
            lambda: Proposals(as_boxes([(0, 0, 41, 40)]), np.zeros(1, np.float32)),
            "proposals of image 2: boxes must lie within",
        ),
    ],
)
def test_proposer_that_fails_on_an_image(
    make: Callable[[], Proposals],
    reason: str,
    *,
    options: list[str],
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
    assert fill(options, path) == 1
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith(f"propose: {options[-1]}/tiny-imagenet-200/val/images/2.png: {reason}")
    assert len(ProposalCache(path)) == 11
    assert fill(options, path) == 0
    assert len(ProposalCache(path)) == 12


def test_killed_process(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(self: propose.ProposedSplit, index: int) -> propose.ProposedImage:  # noqa: ARG001
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

    monkeypatch.setattr(propose.ProposedSplit, "__getitem__", killed)
    assert fill(options, tmp_path / "val.proposals") == 1
    assert message(capsys).startswith("propose: a loader process was killed, perhaps for want of memory")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--detector.propose.init_args.width", "64"), "propose.init_args.width 64, got one with 100"),
        (("--detector.propose", "proposals.whole_image.WholeImage"), "propose.class_path proposals.whole_image"),
        (("--split", "train"), "split train, got one with val"),
    ],
)
def test_cache_of_other_settings(
    more: tuple[str, ...], reason: str, options: list[str], filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(filled)
    assert fill(options, filled, *more) == 1
    assert f"propose: {filled}: expected a cache made with {reason}" in message(capsys)
    assert contents(filled) == before


def test_options_that_do_not_do(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert propose.main(options) == 1  # the output of the experiment is a folder
    assert "expected a name that ends in .proposals" in message(capsys)
    assert fill(options, tmp_path / "a.proposals", "--detector.propose", "null") == 1
    assert message(capsys) == "propose: detector.propose: expected a proposer in the file of --config, got none"


def measure(options: list[str], report: Path, *more: str) -> int:
    return evaluate.main(["run", *options, "--json", str(report), *more])


def test_cached_proposals_measure_the_same(
    options: list[str], filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.json"
    assert measure(options, report) == 0
    made = json.loads(report.read_text())

    def not_asked(self: SelectiveSearch, image: Image) -> Proposals:  # noqa: ARG001
        raise KilledError

    monkeypatch.setattr(SelectiveSearch, "__call__", not_asked)
    assert measure(options, report, "--proposals", str(filled)) == 0
    cached = json.loads(report.read_text())
    assert cached["proposals_per_image"] == made["proposals_per_image"] > 1
    assert cached["mAP"] == pytest.approx(made["mAP"], abs=0.01)
    assert cached["recall"] == made["recall"]


def test_cached_proposals_detect_the_same(config: Path, filled: Path, tiny_images: Path) -> None:
    detector = build_detector(yaml.safe_load(config.read_text())["detector"], source=str(config))
    records = TinyImageNet(tiny_images).read("val")
    made, cached = (
        list(evaluate_run.detect_each(detector, records, ImageProposals(detector.propose, cache), workers=0))
        for cache in (None, ProposalCache(filled))
    )
    for expected, found in zip((one.detections for one in made), (one.detections for one in cached), strict=True):
        assert len(found) == len(expected) > 0
        np.testing.assert_allclose(np.sort(found.scores), np.sort(expected.scores), atol=5e-3)


def run_evaluate(options: list[str]) -> int:
    return evaluate.main(["run", *options])


def run_training(options: list[str]) -> int:
    return train_classifier.main(["fit", *options])


BOTH = pytest.mark.parametrize(("run", "name"), [(run_evaluate, "evaluate"), (run_training, "train_classifier")])


@BOTH
def test_image_without_proposals(
    run: Callable[[list[str]], int], name: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "few.proposals"
    assert fill(options, path, "--limit", "3") == 0
    assert run([*options, "--proposals", str(path), "--output", str(tmp_path)]) == 1
    assert message(capsys) == (
        f"{name}: {path}: expected proposals of image '1' and 8 more, got none; add them with python -m tools.propose"
    )


@BOTH
def test_cache_that_is_not_there_or_of_another_proposer(
    run: Callable[[list[str]], int], name: str, options: list[str], filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = filled.with_name("missing.proposals")
    assert run([*options, "--proposals", str(missing)]) == 1
    assert message(capsys) == f"{name}: {missing}: no such cache of proposals; make it with python -m tools.propose"
    other = ["--detector.propose.init_args.min_side", "9"]
    assert run([*options, "--proposals", str(filled), *other]) == 1
    assert "expected a cache made with propose.init_args.min_side 9, got one with 8" in message(capsys)


def fill_again(options: list[str]) -> int:
    return propose.main([*options[:-2], "--split", "val", "--output", options[-1]])


@pytest.mark.parametrize(
    ("run", "name"), [(run_evaluate, "evaluate"), (run_training, "train_classifier"), (fill_again, "propose")]
)
def test_cache_of_another_data_set(
    *,
    run: Callable[[list[str]], int],
    name: str,
    options: list[str],
    filled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One with the same reader, and with images of the same names."""
    data = shutil.copytree(options[-1], tmp_path / "data")
    picture = data / "tiny-imagenet-200" / "val" / "images" / "5.png"
    length = picture.stat().st_size
    picture.write_bytes(picture.read_bytes() + b"0")
    fresh = ["--results", str(tmp_path / "results")] if run is run_evaluate else []
    assert run([*options[:-1], str(data), "--proposals", str(filled), *fresh]) == 1
    assert message(capsys) == (
        f"{name}: {filled}: expected proposals of {picture}, {length + 1} bytes, got those of an image '5' of {length} "
        "bytes; the cache is of another data set, or the image has changed"
    )


def test_picture_of_another_size(filled: Path, tiny_images: Path) -> None:
    """A file changed after the cache was opened, say."""
    record = TinyImageNet(tiny_images).read("val")[5]
    proposals = ImageProposals(SelectiveSearch(), ProposalCache(filled))
    assert len(proposals(record, np.zeros((40, 40, 3), np.uint8))) > 1
    with pytest.raises(InputError) as error:
        proposals(record, np.zeros((30, 40, 3), np.uint8))
    assert error.value.line == (
        f"{filled}: expected proposals of {record.path}, 40x30 px, got those of an image of 40x40 px"
    )


def test_training_draws_from_the_cache(
    options: list[str], filled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[str] = []
    original = ProposalCache.boxes_of

    def noted(self: ProposalCache, image_ids: Sequence[str]) -> tuple[FloatArray, IntArray]:
        read.extend(image_ids)
        return original(self, image_ids)

    monkeypatch.setattr(ProposalCache, "boxes_of", noted)
    assert run_training([*options, "--proposals", str(filled), "--output", str(tmp_path)]) == 0
    assert sorted(read) == sorted(str(index) for index in range(12))


def test_whole_images_have_no_use_for_proposals(
    options: list[str], filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_images = ["--task", "classifier.tasks.WholeImages", "--output", str(tmp_path)]
    assert run_training([*options, "--proposals", str(filled), *whole_images]) == 1
    assert message(capsys) == "train_classifier: proposals: expected a task with regions, got one with whole images"
