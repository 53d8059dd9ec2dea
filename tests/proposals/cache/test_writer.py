"""The writer: runs that are killed at any byte and continue, and places that cannot be written to."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonargparse import ArgumentParser

from detection.errors import InputError
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals, Proposer
from detection.structures.ground_truth import GroundTruth
from proposals.cache.index import index_path
from proposals.cache.reader import ProposalCache
from proposals.cache.writer import CacheWriter

SETTINGS = {"propose": {"class_path": "some.Proposer"}, "split": "train"}
SIZE = (30, 40)
ROOT = Path(__file__).resolve().parents[3]
IMAGE_IDS = ("a", "b", "c")
WHOLE = {"class_path": "proposals.whole_image.WholeImage"}
Contents = tuple[bytes, bytes]


def proposals(count: int) -> Proposals:
    return Proposals(as_boxes([(index, 0, 40, 30) for index in range(count)]), np.zeros(count, np.float32))


COUNTS = {"a": 2, "b": 0, "c": 3}


def image_record(image_id: str, path: Path) -> GroundTruth:
    """Return an image whose file has 7 bytes, the same for all caches of a test."""
    folder = path.parent.parent if path.parent.name == "folder" else path.parent
    file = folder / f"{image_id}.jpg"
    if not file.exists():
        file.write_bytes(b"a photo")
    return GroundTruth(image_id, file, as_boxes([]), np.zeros(0, np.int64))


def fill(path: Path) -> None:
    """Add all missing images."""
    writer = CacheWriter(path, SETTINGS)
    with writer:
        for record in writer.missing(image_record(image_id, path) for image_id in IMAGE_IDS):
            writer.add(record, SIZE, proposals(COUNTS[record.image_id]))
        writer.finish()


def contents(path: Path) -> Contents:
    return path.read_bytes(), index_path(path).read_bytes()


@pytest.fixture(name="whole")
def uninterrupted(tmp_path: Path) -> Contents:
    path = tmp_path / "folder" / "whole.proposals"
    fill(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["whole.proposals", "whole.proposals.index"]
    return contents(path)


def test_continues_wherever_it_was_killed(whole: Contents, tmp_path: Path) -> None:
    """Boxes are written before the line that counts them, so these are all states that a killed run can leave."""
    boxes, index = whole
    lines = index.splitlines(keepends=True)
    path = tmp_path / "killed.proposals"
    written, line_start = 0, len(lines[0])
    states = [(boxes[:0], index[:line_start])]
    for image_id, line in zip(IMAGE_IDS, lines[1:], strict=False):
        block = COUNTS[image_id] * 11
        states += [(boxes[: written + part], index[:line_start]) for part in range(block + 1)]
        written += block
        states += [(boxes[:written], index[: line_start + part]) for part in range(len(line) + 1)]
        line_start += len(line)
    states += [(boxes, index[:end]) for end in range(line_start, len(index) + 1)]
    assert len(states) > 130
    for state in states:
        path.write_bytes(state[0])
        index_path(path).write_bytes(state[1])
        fill(path)
        assert contents(path) == whole


def test_killed_before_there_are_boxes(whole: Contents, tmp_path: Path) -> None:
    path = tmp_path / "killed.proposals"
    index_path(path).write_bytes(whole[1].splitlines(keepends=True)[0])
    fill(path)
    assert contents(path) == whole


def test_unfinished_cache_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "some.proposals"
    with CacheWriter(path, SETTINGS) as writer:
        writer.add(image_record("a", path), SIZE, proposals(2))
    with pytest.raises(InputError, match="expected a finished cache of proposals, got one with 1 images so far"):
        ProposalCache(path)


def test_finished_cache_takes_more_images(whole: Contents, tmp_path: Path) -> None:
    path = tmp_path / "some.proposals"
    with CacheWriter(path, SETTINGS) as writer:
        writer.add(image_record("a", path), SIZE, proposals(2))
        writer.finish()
    assert writer.finished
    assert CacheWriter(path, SETTINGS).finished
    fill(path)
    assert contents(path) == whole


def test_a_cache_of_version_2_is_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.proposals"
    with CacheWriter(path, SETTINGS) as writer:
        writer.add(image_record("a", path), SIZE, proposals(2))
    first, image = [json.loads(line) for line in index_path(path).read_text().splitlines()]
    index_path(path).write_text(f"{json.dumps(first | {'version': 2})}\n{json.dumps(image[:6])}\n")
    fill(path)
    records = [image_record(image_id, path) for image_id in IMAGE_IDS]
    for record in records:
        record.path.write_bytes(b"another")
    capsys.readouterr()
    cache = ProposalCache(path)
    cache.require(records[:1])
    assert "an older version made the proposals of 1 images" in capsys.readouterr().err
    with pytest.raises(InputError, match=f"expected proposals of {records[1].path}, got those of a file with the same"):
        cache.require(records)


def test_times_that_no_int64_holds(tmp_path: Path) -> None:
    path = tmp_path / "some.proposals"
    record = image_record("a", path)
    os.utime(record.path, ns=(0, 10**19))
    with CacheWriter(path, SETTINGS) as writer:
        writer.add(record, SIZE, proposals(2))
        writer.finish()
    ProposalCache(path).require([record])


def test_nothing_is_written_before_the_block(tmp_path: Path) -> None:
    writer = CacheWriter(tmp_path / "folder" / "some.proposals", SETTINGS)
    assert len(writer) == 0
    assert not writer.finished
    assert list(tmp_path.iterdir()) == []


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.proposals"
    fill(path)
    before = contents(path)
    for settings in (SETTINGS | {"split": "val"}, SETTINGS | {"more": 1}):
        with pytest.raises(InputError, match=f"^{path}: expected a cache made with (split val|more 1), got one with"):
            CacheWriter(path, settings)
    assert contents(path) == before


def test_foreign_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"a photo")
    with pytest.raises(InputError, match=f"^{path}: expected the index photo.jpg.index beside it"):
        CacheWriter(path, SETTINGS)
    assert path.read_bytes() == b"a photo"


@pytest.mark.parametrize("length", [0, 54])
def test_file_of_boxes_is_too_short(length: int, tmp_path: Path) -> None:
    path = tmp_path / "some.proposals"
    fill(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=f"^{path}: expected 55 bytes of boxes as its index says, got {length}"):
        CacheWriter(path, SETTINGS)


@pytest.mark.parametrize(
    ("image_id", "box", "reason"),
    [
        ("a", (0, 0, 1, 1), "expected each image once, got a again"),
        ("d", (0, 0, 41, 1), "proposals of image d: boxes must lie within the image of 40x30 px"),
    ],
)
def test_images_that_cannot_be_added(
    image_id: str, box: tuple[int, ...], reason: str, whole: Contents, tmp_path: Path
) -> None:
    path = tmp_path / "some.proposals"
    fill(path)
    with CacheWriter(path, SETTINGS) as writer:
        with pytest.raises(ValueError, match=reason):
            writer.add(image_record(image_id, path), SIZE, Proposals(as_boxes([box]), np.zeros(1, np.float32)))
        writer.finish()
    assert contents(path) == whole


@pytest.mark.parametrize("room", [35, 60, 300])
def test_full_disk(room: int, whole: Contents, tmp_path: Path) -> None:
    """A limit on the size of files acts like a full disk: some bytes are written, then none."""
    path = tmp_path / "some.proposals"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with CacheWriter(path, SETTINGS) as writer:
        writer.add(image_record("a", path), SIZE, proposals(2))
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(InputError, match=f"^{path}: expected to write proposals there, got: File too large"):
                writer.add(image_record("c", path), SIZE, proposals(40))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size == room
    fill(path)
    assert contents(path) == whole


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    path = tmp_path / "file" / "some.proposals"
    with pytest.raises(InputError, match=f"^{path}: expected to write proposals there"), CacheWriter(path, SETTINGS):
        pass


def test_continued_with_another_data_set(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "some.proposals"
    fill(path)
    record = image_record("b", path)
    record.path.write_bytes(b"another photo")
    with pytest.raises(InputError, match=f"^{path}: expected proposals of {record.path}, 13 bytes, got .* of 7 bytes"):
        CacheWriter(path, SETTINGS).missing([record])


@pytest.mark.parametrize(
    ("class_path", "init_args"),
    [
        ("proposals.selective_search.SelectiveSearch", {}),
        ("proposals.multibox.MultiBoxProposer", {"weights": "multibox.safetensors"}),
        ("proposals.merge.MergedProposer", {"proposers": [dict(WHOLE)]}),
        ("proposals.whole_image.WholeImage", {}),
    ],
)
def test_stored_class_paths_do_not_change(class_path: str, init_args: dict[str, Any], tmp_path: Path) -> None:
    """A cache is read only with the settings that it was made with; so these paths must stay, whatever is moved."""
    parser = ArgumentParser()
    parser.add_argument("--propose", type=Proposer)
    settings = parser.parse_object({"propose": {"class_path": class_path, "init_args": init_args}}).as_dict()
    path = tmp_path / "some.proposals"
    with CacheWriter(path, settings) as writer:
        writer.finish()
    stored = ProposalCache(path).settings["propose"]
    assert stored["class_path"] == class_path
    assert stored.get("init_args", {}).get("proposers", [WHOLE]) == [WHOLE]


SLOW_RUN = """
import sys
from pathlib import Path
import numpy as np
from detection.structures.contracts import Proposals
from detection.structures.ground_truth import GroundTruth
from proposals.cache.writer import CacheWriter

path, image = Path(sys.argv[1]), Path(sys.argv[2])
records = [GroundTruth(str(number), image, [], []) for number in range(3000)]
boxes = np.tile(np.array([[0, 0, 40, 30]], np.float32), (50, 1))
with CacheWriter(path, {}) as writer:
    for record in writer.missing(records):
        writer.add(record, (30, 40), Proposals(boxes * int(record.image_id) / 3000, np.zeros(50)))
        print(record.image_id, flush=True)
    writer.finish()
"""


def test_process_that_is_killed(tmp_path: Path) -> None:
    """A run that is killed twice while it writes, and then finishes, leaves the files of a run that is not killed."""
    image = tmp_path / "image.jpg"
    image.write_bytes(b"a photo")

    def run(name: str, until: str | None) -> Contents:
        command = [sys.executable, "-c", SLOW_RUN, str(tmp_path / name), str(image)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == until:
                    process.kill()
                    break
        assert process.returncode == (0 if until is None else -signal.SIGKILL)
        return contents(tmp_path / name)

    whole = run("whole.proposals", None)
    assert run("killed.proposals", "500")[1].count(b"\n") < 3000
    assert run("killed.proposals", "1500")[1].count(b"\n") < 3000
    assert run("killed.proposals", None) == whole
