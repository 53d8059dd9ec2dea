"""Text files in all encodings that users bring, read by all readers of text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.configuration import read_yaml
from detection.datasets import COCO, ILSVRCDetection, PascalVOC
from detection.datasets.category_kinds import read_kinds
from detection.datasets.files.text_file import read_lines, read_text, whole_number
from detection.errors import InputError
from tools.train.plot_training.training_log import read_run

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
"""`utf-16` and `utf-32` write a byte order mark; with `-le` and `-be` they do not."""


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_text_is_the_same_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\r\ntwo 猫\rthree\n\n".encode(encoding))
    assert read_text(path, expected="text") == "one\ntwo 猫\nthree\n\n"
    assert read_lines(path, expected="text") == ["one", "two 猫", "three"]


def test_only_line_breaks_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("a\u2028b\x85c\x0cd\n".encode())
    assert read_lines(path, expected="text") == ["a\u2028b\x85c\x0cd"]
    path.write_bytes(b" \n\n")
    assert read_lines(path, expected="text") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nb\n人体".encode("gbk"), ":3: expected a list in utf-8: "),
        (b"a\0\n\0\x00\xd8\n\0", ":2: expected a list in utf-16-le: "),
        (b"\xff\xfea", ":1: expected a list in utf-16: truncated data at byte 2"),
    ],
)
def test_text_in_another_encoding_is_refused_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_text(path, expected="a list")
    assert str(caught.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("name", "reason"), [("none", "No such"), ("", "Is a dir"), ("a" * 300, "File name too"), ("a\0", "embedded null")]
)
def test_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(InputError, match=f": expected a list: {reason}"):
        read_text(tmp_path / name, expected="a list")


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("-7", -7), ("007", 7), ("", None), ("1.0", None), (" 7", None), ("²", None), ("\u0661", None)],
)
def test_whole_numbers(text: str, number: int | None) -> None:
    assert whole_number(text) == number
    assert whole_number("9" * 18) == 10**18 - 1
    assert whole_number("9" * 5000) is None


def test_every_reader_takes_every_encoding(tmp_path: Path, encoding: str, write_xml: Callable[..., Path]) -> None:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))
        return path

    assert read_yaml(write("a.yaml", "propose: 猫\n")) == {"propose": "猫"}
    kinds = read_kinds(write("a.tsv", "category\tcovers\tclasses\n猫\tall\ttabby\n"), ["猫"], ["tabby"])
    assert kinds == {0: (frozenset([0]), True)}
    write("run/log/version_0/metrics.csv", "step,train_loss\n4,0.5\n")
    assert read_run(str(tmp_path / "run")).losses == [(5, 0.5)]

    xml = write_xml(tmp_path / "Annotations" / "a.xml", [("猫", (1, 2, 30, 40))])
    write("Annotations/a.xml", xml.read_text(encoding="utf-8"))
    write("ImageSets/Main/val.txt", "a\n")
    for image in (write("JPEGImages/a.jpg", ""), write("Data/DET/val/a猫.JPEG", ""), write("猫.jpg", "")):
        assert image.is_file()
    (record,) = PascalVOC(tmp_path).read("val")
    assert (PascalVOC(tmp_path).class_names, record.boxes.tolist()) == (("猫",), [[0, 1, 30, 40]])

    write("ImageSets/DET/val.txt", "a猫 1\n")
    (tmp_path / "Annotations/DET/val").mkdir(parents=True)
    assert [record.image_id for record in ILSVRCDetection(tmp_path).read("val")] == ["a猫"]

    photo = {"id": 1, "file_name": "猫.jpg", "width": 20, "height": 10}
    content = {"images": [photo], "annotations": [], "categories": [{"id": 1, "name": "猫"}]}
    write("a.json", json.dumps(content, ensure_ascii=False))
    dataset = COCO(tmp_path, annotations="a.json", images="")
    assert (dataset.class_names, dataset.read("val")[0].path.name) == (("猫",), "猫.jpg")


def test_yaml_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: \xff\xfe")
    with pytest.raises(InputError, match=r"a\.yaml:2: expected a YAML file in utf-8: invalid start byte at byte 8"):
        read_yaml(path)
