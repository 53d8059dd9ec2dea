"""The command `detect-evaluate-photos`; all figures are computed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import yaml

from detection.datasets.category_kinds import HEADER
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals, RegionScores
from tools.measure.evaluate_photos import command as evaluate_photos

Run = Callable[..., int]

PERSON, CAT, DOG, PIZZA = range(1, 5)
CATEGORIES = {PERSON: "person", CAT: "cat", DOG: "dog", PIZZA: "pizza"}
A, B, C = (0, 0, 60, 60), (60, 60, 100, 100), (0, 60, 40, 100)
"""The boxes that are proposed in every photo of 100x100 pixels."""
TABBY, RETRIEVER, MARGHERITA, GOOSE, LEMON = range(5)

PHOTOS: list[tuple[list[tuple[int, Sequence[int]]], list[tuple[Sequence[int], int, float]]]] = [
    # annotated: category and box                 detected: box, class and score
    ([(DOG, A), (PERSON, (70, 0, 90, 20))], [(A, RETRIEVER, 0.9)]),
    ([(DOG, A), (CAT, B)], [(A, MARGHERITA, 0.5), (A, GOOSE, 0.4), (A, LEMON, 0.3), (B, TABBY, 0.2)]),
    ([(CAT, A)], [(B, TABBY, 0.1)]),  # in another place, and below the detector's threshold
    ([(PIZZA, (0, 0, 32, 32))], [(A, MARGHERITA, 0.9)]),  # too small for "any"; an IoU of 1024 / 3600
    ([(PERSON, A)], [(A, RETRIEVER, 0.9)]),  # asked for nothing
    ([(PIZZA, C)], [(A, GOOSE, 0.85), (C, MARGHERITA, 0.8)]),
]
LARGEST = {"photos": 5, "right": 4, "placed": 2, "shown": 3}
ANY = {"photos": 4, "right": 3, "placed": 2, "shown": 2}


class Boxes:
    """A proposer that returns the same boxes for every image."""

    def __call__(self, image: Image) -> Proposals:  # noqa: ARG002 the protocol's name
        return Proposals(as_boxes([A, B, C]), np.zeros(3, np.float32))


class Planned:
    """A classifier that gives the scores in `PHOTOS`; the first pixel of a photo is its number there."""

    class_names = ("tabby", "golden retriever", "pizza", "goose", "lemon")
    seen = 0

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:  # noqa: ARG002
        Planned.seen += len(images)
        return [RegionScores(self.probabilities(int(image[0, 0, 0]))) for image in images]

    def probabilities(self, number: int) -> FloatArray:
        table = np.zeros((3, 6), np.float32)
        for box, label, score in PHOTOS[number][1]:
            table[(A, B, C).index(tuple(box)), label + 1] = score
        return table


def write_photos(root: Path) -> None:
    """Write the data set in the layout of COCO; a crowd of dogs fills the photo of a person."""
    (root / "images").mkdir(parents=True)
    annotations: list[dict[str, Any]] = []
    for number, (objects, _) in enumerate(PHOTOS):
        pixels = np.full((100, 100, 3), 128, np.uint8)
        pixels[0, 0] = number
        PIL.Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        crowd = [(DOG, (0, 0, 100, 100), 1)] if number == 4 else []
        for category, (x1, y1, x2, y2), flag in [*((*annotated, 0) for annotated in objects), *crowd]:
            item = {"image_id": number, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": flag}
            annotations.append(item | {"id": len(annotations) + 1})
    images = [{"id": number, "file_name": f"{number}.png", "width": 100, "height": 100} for number in range(6)]
    categories = [{"id": number, "name": name} for number, name in CATEGORIES.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))


@pytest.fixture(name="run")
def tool_on_the_photos(tmp_path: Path) -> Run:
    """Return a function that runs the command with more options, and returns the exit status."""
    Planned.seen = 0
    write_photos(tmp_path / "data")
    detector = {
        "propose": {"class_path": f"{__name__}.Boxes"},
        "classify": {"class_path": f"{__name__}.Planned"},
        "score_threshold": 0.15,
    }
    (tmp_path / "detector.yaml").write_text(yaml.safe_dump(detector))
    rows = ["cat\tsome\ttabby", "dog\tsome\tgolden retriever", "pizza\tall\tpizza"]
    (tmp_path / "classes.tsv").write_text("\n".join([HEADER, *rows]))
    options = ["--config", str(tmp_path / "detector.yaml"), "--classes", str(tmp_path / "classes.tsv")]
    options += ["--dataset", "detection.datasets.COCO", "--data", str(tmp_path / "data"), "--workers", "0"]
    options += ["--dataset.annotations", "annotations.json", "--dataset.images", "images"]
    options += ["--output", str(tmp_path / "out")]
    return lambda *more: evaluate_photos.main([*options, *more])


def report_of(run: Run, path: Path, *more: str) -> dict[str, Any]:
    assert run("--json", str(path), *more) == 0
    report: dict[str, Any] = json.loads(path.read_text(), parse_constant=pytest.fail)
    return report


def counts(figures: dict[str, Any]) -> tuple[int, ...]:
    return tuple(figures[name] for name in LARGEST)


def test_figures(run: Run, tmp_path: Path) -> None:
    report = report_of(run, tmp_path / "a.json")
    largest, anything = report["questions"]["largest"], report["questions"]["any"]
    assert counts(largest["all"]) == counts(LARGEST)
    assert largest["all"]["share"] == 4 / 5
    assert largest["all"]["interval"] == pytest.approx([0.37553, 0.96378], abs=1e-5)
    assert counts(largest["covered"]) == (2, 2, 1, 2)  # the pizzas
    assert (largest["all"]["nothing_shown"], largest["covered"]["nothing_shown"]) == (1, 0)  # the cat
    assert {name: counts(figures) for name, figures in largest["categories"].items()} == {
        "cat": (1, 1, 0, 0),
        "dog": (2, 1, 1, 1),
        "pizza": (2, 2, 1, 2),
    }
    assert counts(anything["all"]) == counts(ANY)
    assert counts(anything["covered"]) == (1, 1, 1, 1)
    assert counts(anything["categories"]["cat"]) == (2, 1, 0, 0)
    assert (report["best"], report["shown_from"]) == (3, 0.15)
    assert [photo["image_id"] for photo in largest["photos"]] == ["0", "1", "2", "3", "5"]
    assert [photo["categories"] for photo in anything["photos"]] == [["dog"], ["dog", "cat"], ["cat"], ["pizza"]]
    assert [detection["class"] for detection in anything["photos"][1]["detections"]] == ["pizza", "goose", "lemon"]


@pytest.mark.parametrize(("best", "largest", "anything"), [(1, 3, 2), (2, 4, 3), (4, 4, 4), (500, 4, 4)])
def test_more_detections_find_more(best: int, largest: int, anything: int, run: Run, tmp_path: Path) -> None:
    questions = report_of(run, tmp_path / "a.json", "--best", str(best))["questions"]
    assert (questions["largest"]["all"]["right"], questions["any"]["all"]["right"]) == (largest, anything)


@pytest.mark.parametrize(("part", "expected"), [("0", ["0", "2"]), ("1", ["1", "3", "5"])])
def test_parts_of_the_photos(part: str, expected: list[str], run: Run, tmp_path: Path) -> None:
    largest = report_of(run, tmp_path / "a.json", "--every", "2", "--part", part)["questions"]["largest"]
    assert [photo["image_id"] for photo in largest["photos"]] == expected


def test_there_are_only_so_many_parts(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--every", "2", "--part", "2") == 1
    assert capsys.readouterr().err == "detect-evaluate-photos: part: expected a number below --every 2, got 2\n"


def test_printed(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("--list") == 0
    totals, categories, notes, missed = capsys.readouterr().out.split("\n\n")
    assert totals.splitlines()[1].split("  ")[0] == "largest object"
    assert totals.splitlines()[1].split()[2:] == ["5", "4", "80.0%", "37.6%", "to", "96.4%", "2", "3", "1"]
    assert [line.split() for line in categories.splitlines()[1:]] == [
        ["cat", "some", *"1100", *"2100"],
        ["dog", "some", *"2111", *"2111"],
        ["pizza", "all", *"2212", *"1111"],
    ]
    assert "among the 3 detections" in notes
    assert "a score of 0.15 or more" in notes
    path = tmp_path / "data" / "images" / "1.png"
    assert missed.splitlines()[1:] == [f"  {path}: dog, cat; found: pizza 0.50, goose 0.40, lemon 0.30"]


def test_photos_are_looked_at_once(run: Run, tmp_path: Path) -> None:
    first = report_of(run, tmp_path / "a.json")
    assert Planned.seen == 5  # the photo that is asked for nothing is left out
    assert report_of(run, tmp_path / "b.json") == first
    assert Planned.seen == 5
    report_of(run, tmp_path / "c.json", "--best", "1")
    assert Planned.seen == 5


def test_limit(run: Run, tmp_path: Path) -> None:
    photos = report_of(run, tmp_path / "a.json", "--limit", "3")["questions"]["largest"]["photos"]
    assert [photo["image_id"] for photo in photos] == ["0", "2"]  # of 0, 2 and 4


def test_without_a_file_names_have_to_be_the_same(run: Run, tmp_path: Path) -> None:
    options = ["--classes", "null"]
    questions = report_of(run, tmp_path / "a.json", *options)["questions"]
    assert set(questions["largest"]["categories"]) == {"pizza"}
    assert questions["largest"]["all"] == questions["largest"]["covered"]


def test_no_category_in_any_photo(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "classes.tsv").write_text(f"{HEADER}\nperson\tall\tgoose\n")
    assert run("--limit", "1") == 1
    expected = f"{tmp_path / 'data'}: expected photos of objects that have classes in {tmp_path / 'classes.tsv'}"
    assert expected in capsys.readouterr().err


def test_unknown_class_is_named_with_its_line(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "classes.tsv").write_text(f"{HEADER}\ncat\tsome\ttabby, lynx\n")
    assert run() == 1
    error = f"detect-evaluate-photos: {tmp_path / 'classes.tsv'}:2: expected names of classes, got 'lynx'\n"
    assert capsys.readouterr().err == error
    assert Planned.seen == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--classes", "nowhere.tsv"], "nowhere.tsv: expected categories and their classes"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: expected a YAML file"),
        (["--sheet", "sheet.jpg"], "sheet.jpg: expected a name that ends in .png"),
        (["--json", "tests"], "tests: expected a file to write, got a folder"),
    ],
)
def test_bad_file(options: list[str], error: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*options) == 1
    assert capsys.readouterr().err.startswith(f"detect-evaluate-photos: {error}")
    assert Planned.seen == 0


def test_damaged_photo(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data" / "images" / "2.png"
    path.write_bytes(b"no picture")
    assert run() == 1
    assert f"detect-evaluate-photos: {path}: expected a readable image" in capsys.readouterr().err


def test_sheet(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "sheets" / "sheet.png"
    assert run("--sheet", str(path), "--sheet_rows", "2") == 0
    with PIL.Image.open(path) as sheet:
        pixels = np.asarray(sheet)
    left, right = np.split(pixels, 2, axis=1)
    lower = pixels.shape[0] * 2 // 3
    assert len(np.unique(left[lower:].reshape(-1, 3), axis=0)) > 10
    assert (right[lower:] == 255).all()  # one photo was wrong, two were drawn of those right
