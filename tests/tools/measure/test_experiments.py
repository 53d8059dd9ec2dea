"""The table of `detect-experiments`: figures computed by hand, interrupted runs, and variants that are left out."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import yaml

from classifier.scoring.description import find_weights
from classifier.scoring.weights_file import load_weights
from detection.datasets import TinyImageNet
from detection.detector import Detector
from detection.errors import InputError
from detection.formats.run_results import ResultsWriter, StoredResult
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals, RegionScores
from proposals.cache.writer import CacheWriter
from tools.measure.evaluate.measured_split import Split
from tools.measure.experiments import command as experiments
from tools.measure.experiments.command import open_variant
from tools.measure.experiments.timing import timed, timing_file

IMAGES = 12
"""The number of images. Each has 64x64 pixels and one object that fills it, in turn a cat, a cup and a rocket."""


class Boxes:
    """A proposer that returns the same boxes for every image."""

    def __init__(self, boxes: list[list[float]]) -> None:
        self.boxes = as_boxes(boxes)

    def __call__(self, image: Image) -> Proposals:  # noqa: ARG002 the protocol's names
        return Proposals(self.boxes, np.zeros(len(self.boxes), np.float32))


class Always:
    """A classifier that gives every region the same probability for each of the `labels`."""

    class_names = ("cat", "cup", "rocket")
    regions = 0

    def __init__(self, labels: list[int]) -> None:
        self.row = np.zeros(4, np.float32)
        self.row[np.add(labels, 1)] = 0.25

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:  # noqa: ARG002
        Always.regions += sum(map(len, boxes))
        return [RegionScores(np.tile(self.row, (len(image_boxes), 1))) for image_boxes in boxes]


def detector(boxes: list[list[float]], labels: list[int], **more: Any) -> dict[str, Any]:
    return {
        "propose": {"class_path": f"{__name__}.Boxes", "init_args": {"boxes": boxes}},
        "classify": {"class_path": f"{__name__}.Always", "init_args": {"labels": labels}},
        "score_threshold": 0.1,
        **more,
    }


WHOLE, HALF, QUARTER = [0.0, 0.0, 64.0, 64.0], [0.0, 0.0, 64.0, 32.0], [0.0, 0.0, 32.0, 32.0]
CATS = detector([WHOLE], [0])
ALL = detector([HALF, QUARTER], [0, 1, 2], nms_iou_threshold=0.5)


@pytest.fixture(name="run")
def tool_on_the_pictures(tiny_images: Path, tmp_path: Path) -> Callable[..., int]:
    """Return a function that runs the command on variants by their names, and returns the exit status."""
    Always.regions = 0

    def run(variants: dict[str, Any], *more: str) -> int:
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump({"variants": variants}, sort_keys=False))
        options = ["--dataset", "detection.datasets.TinyImageNet", "--data", str(tiny_images), "--workers", "0"]
        options += ["--output", str(tmp_path / "out"), "--timed", "2", "--resamples", "50"]
        return experiments.main(["--config", str(path), *options, *more])

    return run


def test_figures(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All scores are equal, so the earlier image ranks first, and in an image the earlier box.

    The variant "cats" is right at ranks 1, 4, 7, 10, so that AP is (1 + 1/2 + 3/7 + 2/5) / 4 for cats, and 0 for the
    other classes. In the variant "all" the half box has an IoU of exactly 0.5, which counts, and the quarter box after
    it is wrong, so that every other rank is wrong.
    """
    table, figures = tmp_path / "table.csv", tmp_path / "figures.json"
    assert run({"cats": CATS, "all": ALL}, "--csv", str(table), "--json", str(figures)) == 0
    ranks = {"cat": (1, 7, 13, 19), "cup": (3, 9, 15, 21), "rocket": (5, 11, 17, 23)}
    precisions = [[hits / rank for hits, rank in enumerate(class_ranks, 1)] for class_ranks in ranks.values()]
    envelopes = [np.maximum.accumulate(values[::-1]) for values in precisions]
    cats, everything = (1 + 1 / 2 + 3 / 7 + 2 / 5) / 4 / 3, float(np.mean(envelopes))
    report = json.loads(figures.read_text(), parse_constant=pytest.fail)
    first, second = report["rows"]
    assert (first["mAP"], second["mAP"]) == (pytest.approx(cats), pytest.approx(everything))
    assert (first["proposals"], first["coverage"]) == (1, 1)
    assert (second["proposals"], second["coverage"]) == (2, 1)
    assert first["difference"] is None
    assert second["difference"] == pytest.approx(everything - cats)
    assert second["difference_low"] < second["difference_high"]
    assert 0 < first["mAP_low"] < first["mAP_high"] < 1
    assert (report["images"], report["objects"], report["rule"], report["timed_images"]) == (IMAGES, IMAGES, "voc", 2)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["cats", "all"]
    assert float(rows[1]["difference"]) == second["difference"]
    assert rows[0]["difference"] == ""
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 images of split 'val', 12 objects"
    assert lines[3].split()[:4] == ["cats", "1.0", "100.0%", f"{cats:.4f}"]
    assert len(lines[3]) == len(lines[4]) == len(lines[2])


def test_coverage_is_of_the_proposals(run: Callable[..., int], tmp_path: Path) -> None:
    assert run({"none": detector([QUARTER], [0])}, "--json", str(tmp_path / "a.json")) == 0
    (row,) = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert (row["coverage"], row["mAP"], row["difference"]) == (0, 0, None)


def test_done_only_prints(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"cats": CATS, "all": ALL}, "--json", str(tmp_path / "a.json")) == 0
    printed, done = capsys.readouterr().out, Always.regions
    assert run({"cats": CATS, "all": ALL}, "--json", str(tmp_path / "b.json")) == 0
    assert Always.regions == done
    assert capsys.readouterr().out == printed
    assert (tmp_path / "b.json").read_text() == (tmp_path / "a.json").read_text()


def test_interrupted_goes_on(run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run({"cats": CATS, "all": ALL}, "--json", str(tmp_path / "a.json"), "--output", str(tmp_path / "whole")) == 0
    added: list[str] = []
    original = ResultsWriter.add

    def recording(self: ResultsWriter, result: StoredResult) -> None:
        added.append(result.image_id)
        original(self, result)

    def killed(self: ResultsWriter, result: StoredResult) -> None:
        if len(added) == IMAGES + 5:  # in the second row
            raise KeyboardInterrupt
        recording(self, result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResultsWriter, "add", killed)
        assert run({"cats": CATS, "all": ALL}) == 130
    done = len(added)
    monkeypatch.setattr(ResultsWriter, "add", recording)
    assert run({"cats": CATS, "all": ALL}, "--json", str(tmp_path / "b.json")) == 0
    assert len(added) - done == IMAGES - 5
    rows = [json.loads((tmp_path / name).read_text())["rows"] for name in ("a.json", "b.json")]
    for before, after in zip(*rows, strict=True):
        assert {key: before[key] for key in before if "seconds" not in key and key != "source"} == {
            key: after[key] for key in after if "seconds" not in key and key != "source"
        }


def test_missing_parts_are_left_out(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble = {"class_path": "classifier.nowhere.Ensemble", "init_args": {"members": ["a.safetensors"]}}
    network = "classifier.region_classifier.RegionClassifier"
    weights = {"class_path": network, "init_args": {"weights": "no.safetensors"}}
    boxes = {"class_path": "proposals.multibox.MultiBoxProposer", "init_args": {"weights": "nothing.safetensors"}}
    variants = {
        "cats": CATS,
        "ensemble": CATS | {"classify": ensemble},
        "weights": CATS | {"classify": weights},
        "MultiBox": CATS | {"propose": boxes},
        "unknown key": CATS | {"nms": 0.3},
        "out of range": CATS | {"nms_iou_threshold": 3},
        "no detector": "detector.yaml",
        "no cache": CATS | {"proposals": "nowhere.proposals"},
        "all": ALL,
    }
    assert run(variants, "--json", str(tmp_path / "a.json")) == 1
    report = json.loads((tmp_path / "a.json").read_text())
    assert [row["variant"] for row in report["rows"]] == ["cats", "all"]
    assert report["rows"][1]["difference"] is not None  # to the row that is above it
    left_out = report["left_out"]
    assert list(left_out) == list(variants)[1:-1]
    for name, part in {
        "ensemble": "classifier.nowhere",
        "weights": "no.safetensors: no such weights file",
        "MultiBox": "nothing.safetensors: no such weights file",
        "unknown key": "nms",
        "out of range": "nms_iou_threshold must lie in 0-1, got 3",
        "no detector": "expected the settings of a detector, got detector.yaml",
        "no cache": "nowhere.proposals: no such cache",
    }.items():
        assert part in left_out[name]
        assert "\n" not in left_out[name]
    printed = capsys.readouterr().out
    assert printed.endswith("".join(f"  {name}: {reason}\n" for name, reason in left_out.items()))


def test_nothing_to_measure(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"typo": CATS | {"nms": 0.3}}) == 1
    assert capsys.readouterr().err.startswith(
        "detect-experiments: variants: expected one that can be built, got none: typo: "
    )


def test_cached_proposals(run: Callable[..., int], tiny_images: Path, tmp_path: Path) -> None:
    cache = tmp_path / "val.proposals"
    dataset = {"class_path": "detection.datasets.TinyImageNet", "init_args": {}}
    with CacheWriter(cache, {"propose": CATS["propose"], "dataset": dataset, "split": "val"}) as writer:
        for record in TinyImageNet(tiny_images).read("val"):
            writer.add(record, (64, 64), Proposals(as_boxes([QUARTER]), np.zeros(1, np.float32)))
        writer.finish()
    variants = {"made": CATS, "cached": CATS | {"proposals": str(cache)}}
    assert run(variants, "--json", str(tmp_path / "a.json")) == 0
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [row["coverage"] for row in rows] == [1, 0]


def test_limit(run: Callable[..., int], tmp_path: Path) -> None:
    assert run({"cats": CATS}, "--limit", "4", "--json", str(tmp_path / "a.json")) == 0
    assert json.loads((tmp_path / "a.json").read_text())["images"] == 4


@pytest.mark.parametrize("content", [b"{", b"[1]"])
def test_file_of_something_else_is_not_replaced(content: bytes, tiny_images: Path, tmp_path: Path) -> None:
    path = tmp_path / "timing.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"timing\.json: expected a timing of this command, or no file"):
        timed(Detector(Boxes([WHOLE]), Always([0])), TinyImageNet(tiny_images).read("val"), 3, path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [None, b'{"proposing": [0, 0, 0], "scoring": [0, 0, 0], "machine": "another"}'])
def test_timing_is_kept_if_it_is_of_this_machine(content: bytes | None, tiny_images: Path, tmp_path: Path) -> None:
    records = TinyImageNet(tiny_images).read("val")
    path = tmp_path / "timing.json"
    if content is not None:
        path.write_bytes(content)
    fixed = Detector(Boxes([WHOLE]), Always([0]))
    first = timed(fixed, records, 3, path)
    assert len(first.proposing) == len(first.scoring) == 3
    assert all(0 < seconds < 60 for seconds in first.proposing + first.scoring)
    assert first.seconds <= max(first.proposing) + max(first.scoring)
    assert timed(fixed, records, 3, path) == first
    assert len(timed(fixed, records, 4, path).proposing) == 4
    again = timed(fixed, records, 3, path)
    others = timed(fixed, [records[1], *records[1:]], 3, path)  # as if the first picture had been replaced
    assert others.images is not None
    assert again.images is not None
    assert others.images[1:] == again.images[1:]
    assert others != again


def test_detectors_that_differ_only_in_their_speed_are_timed_apart(tmp_path: Path) -> None:
    files = {timing_file(tmp_path, {"classify": {"batch_size": size}}) for size in (8, 8, 256)}
    assert len(files) == 2
    assert all(re.fullmatch(r"timing-[0-9a-f]{8}\.json", path.name) for path in files)


@pytest.mark.parametrize(
    ("config", "weights", "chosen"),
    [
        ("section8.yaml", "tiny_imagenet.safetensors", ["whole image", "single model", "+ doubled superpixels"]),
        (
            "section8_photographs.yaml",
            "everyday.safetensors",
            ["single model", "+ cascade", "+ the best 500 proposals", "+ from coarse to fine"],
        ),
    ],
)
def test_shipped_variants_open(config: str, weights: str, chosen: list[str]) -> None:
    """The variants whose weights are shipped can be built, and know the classes of the data set."""
    settings = experiments.build_parser().parse_args(["--config", config, "--data", "anywhere"])
    variants = settings.pop("variants")
    names = load_weights(find_weights(weights))[1].class_names
    split = Split(cast(Any, SimpleNamespace(class_names=names)), cast(Any, None), [])
    for name in chosen:
        variant = open_variant(variants[name], settings, split)
        assert variant.detector.class_names == names
        assert variant.settings.detector.score_threshold < 0.01
