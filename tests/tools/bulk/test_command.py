"""The command on this machine: its rows are those of `detect`, and an interrupted run ends with the same files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from detection import load_detector
from detection.detector import Detector
from detection.formats.dataset_results.manifest import read_manifest
from detection.formats.dataset_results.partition import ImageRow, read_partition, table_rows
from detection.structures.arrays import Image
from tests.tools.bulk.conftest import WRITERS, RefusingStore, Run
from tools.bulk import command
from tools.bulk.output import OutputFolder
from tools.bulk.plan import DetectorChoice


def rows_of(folder: Path) -> list[ImageRow]:
    return [row for number in read_manifest(folder).finished for row in table_rows(read_partition(folder, number))]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_are_those_of_detect(
    kind: str, run: Run, detector_config: Path, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    assert run(WRITERS[kind](tmp_path / kind, pictures), tmp_path / "found") == 0
    detector = load_detector(detector_config)
    found = rows_of(tmp_path / "found")
    assert len(found) == 7
    for row, content in zip(found, pictures.values(), strict=True):
        detections = detector(content)
        assert len(detections) > 5
        np.testing.assert_array_equal(row.boxes, detections.boxes)
        np.testing.assert_array_equal(row.scores, detections.scores)
        np.testing.assert_array_equal(row.labels, detections.labels)


def test_bad_image_is_a_row_and_a_status(
    run: Run, photos: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # also when there is nothing left to do
        assert run(photos, tmp_path / "found") == 1
        out, err = capsys.readouterr()
        assert out == f"{tmp_path}/found: 8 images in 3 partitions\n"
        last = err.splitlines()[-1]
        assert last.startswith("detect-dataset: 1 image has an error in place of detections; the first: ")
        assert last.count(f"{photos}/4b.jpg: expected a readable image") == 1
    (bad,) = (row for row in rows_of(tmp_path / "found") if row.error is not None)
    assert (bad.key, bad.size, len(bad.boxes)) == ("4b.jpg", None, 0)


@pytest.mark.parametrize("stopped_at", [1, 4, 7])
@pytest.mark.parametrize("how", [KeyboardInterrupt, MemoryError("out of memory")])
def test_interrupted_run_goes_on(  # noqa: PLR0917
    stopped_at: int, how: Any, run: Run, photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(photos, tmp_path / "whole")
    calls: list[Image] = []
    score = Detector.score

    def counting(self: Detector, images: Any, proposals: Any) -> Any:
        calls.extend(images)
        if len(calls) >= stopped_at:
            raise how
        return score(self, images, proposals)

    with monkeypatch.context() as context:
        context.setattr(Detector, "score", counting)
        assert run(photos, tmp_path / "found") in (1, 130)
    finished = read_manifest(tmp_path / "found").finished
    assert len(finished) < 3
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "found").glob("part-*.parquet")}
    assert len(times) == len(finished)
    assert run(photos, tmp_path / "found") == 1
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())  # these are not done again
    assert files(tmp_path / "found") == files(tmp_path / "whole")


def test_full_disk(
    run: Run, photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(photos, tmp_path / "whole")
    replace = os.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "part-000001.parquet":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(self, target)
        return target

    with monkeypatch.context() as context:
        context.setattr(Path, "replace", full)
        assert run(photos, tmp_path / "found") == 1
    assert "part-000001.parquet: expected a place to write to, got: No space left" in capsys.readouterr().err
    assert sorted(files(tmp_path / "found")) == ["manifest.json", "part-000000.parquet"]
    assert run(photos, tmp_path / "found") == 1
    assert files(tmp_path / "found") == files(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_partition_that_was_lost_is_done_again(damage: str, run: Run, photos: str, tmp_path: Path) -> None:
    run(photos, tmp_path / "found")
    before = files(tmp_path / "found")
    path = tmp_path / "found" / "part-000002.parquet"
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-10])
    run(photos, tmp_path / "found")
    assert files(tmp_path / "found") == before


def test_other_detector_images_or_version(  # noqa: PLR0917
    run: Run,
    photos: str,
    detector_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(photos, tmp_path / "found")
    before = files(tmp_path / "found")

    def refused(name: str, *more: object) -> None:
        capsys.readouterr()
        assert run(photos, tmp_path / "found", *more) == 1
        err = capsys.readouterr().err
        assert err.startswith(f"detect-dataset: {tmp_path}/found: this folder has results of another run")
        assert f"of another run: {name}" in err
        assert files(tmp_path / "found") == before

    refused("partition_size", "--partition-size", 4)
    refused("detector.score_threshold was 0.0, and is 0.3 now", "--score-threshold", 0.3)
    with monkeypatch.context() as context:
        context.setattr("tools.bulk.plan.__version__", "99.0")
        refused("inception_rcnn was 0.1.0, and is 99.0 now")
    settings = yaml.safe_load(detector_config.read_text())
    detector_config.write_text(yaml.safe_dump(settings | {"nms_iou_threshold": 0.1}))
    refused("detector.nms_iou_threshold was none, and is 0.1 now")
    detector_config.write_text(yaml.safe_dump(settings))
    (Path(photos) / "new.png").write_bytes(b"")
    refused("images was 8, and is 9 now")


def test_settings_of_the_shipped_detector_have_a_checksum_of_each_network() -> None:
    """Otherwise an interrupted run would go on with other boxes after new weights were shipped."""
    settings = str(DetectorChoice(None, {}).settings)
    for name in ("everyday.safetensors", "everyday_2.safetensors", "multibox_photographs.safetensors"):
        assert f"'{name} (CRC-32 " in settings


def test_overrides_are_checked_like_the_file_of_a_detector(detector_config: Path) -> None:
    assert DetectorChoice(str(detector_config), {"max_detections": 3}, "cpu").load().max_detections == 3
    with pytest.raises(ValueError, match="max_detections must be a whole number of at least 1, got 0"):
        DetectorChoice(str(detector_config), {"max_detections": 0}, "cpu").load()


def test_folder_of_others_stays(run: Run, photos: str, capsys: pytest.CaptureFixture[str]) -> None:
    for target, got in ((Path(photos), "one with files"), (Path(photos) / "0.png", "a file")):
        before = target.read_bytes() if target.is_file() else None
        assert run(photos, target) == 1
        assert f"{target}: expected a " in (err := capsys.readouterr().err)
        assert f"got {got}" in err
        assert before is None or target.read_bytes() == before


def test_store_that_stops_answering_ends_the_run(
    run: Run, refusing: type[RefusingStore], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("refusing://photos", tmp_path / "whole") == 0
    refusing.failures.extend([ConnectionError("reset")] * 30)
    assert run("refusing://photos", tmp_path / "found") == 1
    assert "expected the store to answer, got: reset" in capsys.readouterr().err
    refusing.failures.clear()
    assert run("refusing://photos", tmp_path / "found") == 0
    assert files(tmp_path / "found") == files(tmp_path / "whole")


def test_errors_are_done_again_on_request(run: Run, refusing: type[RefusingStore], tmp_path: Path) -> None:
    run("refusing://photos", tmp_path / "whole")
    refusing.forbidden.add("/photos/sub/5.png")
    assert run("refusing://photos", tmp_path / "found") == 1
    refusing.forbidden.clear()
    assert run("refusing://photos", tmp_path / "found") == 1
    assert run("refusing://photos", tmp_path / "found", "--redo-errors") == 0
    assert files(tmp_path / "found") == files(tmp_path / "whole")


def test_fault_of_a_stage_is_a_row(run: Run, photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = Detector.score

    def failing(self: Detector, images: Any, proposals: Any) -> Any:
        if any(image.shape[1] == 96 for image in images):
            raise ZeroDivisionError("division by zero")
        return score(self, images, proposals)

    monkeypatch.setattr(Detector, "score", failing)
    assert run(photos, tmp_path / "found") == 1
    first, *others = rows_of(tmp_path / "found")
    assert (first.key, first.error) == ("0.png", "expected detections, got ZeroDivisionError: division by zero")
    assert [row.key for row in others if row.error is not None] == ["4b.jpg"]


def test_dry_run_writes_nothing(run: Run, photos: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, tmp_path / "found", "--dry-run", "--machines", 2, "--price", 3, "--sample", 2) == 0
    first, speed, hours, cost = capsys.readouterr().out.splitlines()
    assert first == "to do: 8 images in 3 partitions"
    assert speed.endswith(" s per image on this machine, measured with 2 images")
    assert hours.endswith("h on 2 such machines, if none waits")
    assert cost.endswith("machine hours at 3 each")
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize("option", ["sample", "machines", "price"])
def test_options_of_the_estimate_need_it(
    run: Run, photos: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(photos, tmp_path / "found", f"--{option}", 2) == 1
    assert capsys.readouterr().err.startswith(f"detect-dataset: --{option}: expected --dry-run too")
    assert not (tmp_path / "found").exists()


def test_inputs_may_be_given_one_by_one() -> None:
    arguments = ["--input", "a", "b", "--input", "c", "--output", "found"]
    assert command.build_parser().parse_args(arguments).input == ["a", "b", "c"]


def test_the_output_is_no_address(run: Run, photos: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, "s3://bucket/found") == 1
    expected = "--output: expected a folder of this machine, got the address s3://bucket/found"
    assert capsys.readouterr().err == f"detect-dataset: {expected}\n"


def test_a_single_image_is_counted_as_one(
    run: Run, photos: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(Path(photos) / "0.png")
    assert run(photo, tmp_path / "found", "--dry-run") == 0
    first, speed, _ = capsys.readouterr().out.splitlines()
    assert first == "to do: 1 image in 1 partition"
    assert speed.endswith("measured with 1 image")
    assert run(photo, tmp_path / "found") == 0
    assert capsys.readouterr().out == f"{tmp_path}/found: 1 image in 1 partition\n"


def test_coco_file_has_the_same_detections(run: Run, photos: str, tmp_path: Path) -> None:
    run(photos, tmp_path / "found", "--coco", tmp_path / "found.json")
    content = json.loads((tmp_path / "found.json").read_text())
    found = [row for row in rows_of(tmp_path / "found") if row.error is None]
    assert [image["file_name"] for image in content["images"]] == [row.key for row in found]
    assert len(content["annotations"]) == sum(len(row.boxes) for row in found)
    assert run(photos, tmp_path / "found", "--coco", tmp_path / "found.json") == 1  # somebody may have corrected it


def test_output_begins_when_it_can_be_written(run: Run, photos: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, Path("/dev/null/below")) == 1
    assert "/dev/null/below" in capsys.readouterr().err


def test_rows_in_any_order_make_the_same_partitions(run: Run, photos: str, tmp_path: Path) -> None:
    run(photos, tmp_path / "whole")
    manifest = read_manifest(tmp_path / "whole")
    rows = [(index // 3, index % 3, row) for index, row in enumerate(rows_of(tmp_path / "whole"))]
    empty = manifest.__class__(manifest.versions, manifest.settings, (), manifest.partitions)
    output = OutputFolder(tmp_path / "found", empty)
    output.begin(manifest.class_names)
    output.write_all(reversed(rows), lambda number: (3, 3, 2)[number], lambda _: None)
    assert files(tmp_path / "found") == files(tmp_path / "whole")
