"""The analysis of a score: in its JSON, and in the tables that the command prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.measure.evaluate import command as evaluate
from tools.report.report_text import format_report

Report = dict[str, Any]
SECTIONS = {"curves", "best_f1", "best_f1_by_class", "AP_by_size", "errors", "confusions"} | {
    "best_images",
    "worst_images",
}


def box_record(image: int, category: int, x: float, side: float = 40, **more: Any) -> Report:
    return {"image_id": image, "category_id": category, "bbox": [x, 10, side, side], **more}


def score_files(folder: Path, annotations: list[Report], found: list[Report], *options: str) -> Report:
    """Score three images with cats, dogs and no owls, and return the JSON of the score."""
    truth = {
        "images": [{"id": number, "width": 400, "height": 200} for number in (11, 12, 13)],
        "annotations": [{"id": row, **item} for row, item in enumerate(annotations)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 9, "name": "owl"}],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(found))
    given = ["--ground-truth", f"{folder / 'truth.json'}", "--detections", f"{folder / 'found.json'}"]
    assert evaluate.main(["score", *given, "--json", f"{folder / 'x.json'}", "--resamples", "10", *options]) == 0
    report: Report = json.loads((folder / "x.json").read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    return report


ANNOTATIONS = [box_record(11, 1, 0), box_record(11, 5, 100, side=100), box_record(12, 1, 50)]
FOUND = [
    box_record(11, 1, 0, score=0.9),
    box_record(11, 1, 100, side=100, score=0.8),
    box_record(12, 1, 50, score=0.7),
    box_record(13, 1, 50, score=0.1),
]


@pytest.mark.parametrize("rule", ["ilsvrc", "voc", "voc2007", "coco"])
def test_sections_by_hand(rule: str, tmp_path: Path) -> None:
    # Cats: hit, the dog under a wrong name, hit, background. The best F1 is at 0.7: 2 * 2 / (3 + 3).
    report = score_files(tmp_path, ANNOTATIONS, FOUND, "--rule", rule)
    assert report["curves"] == {
        "cat": {
            "recall": [0.5, 0.5, 1, 1],
            "precision": [1, 0.5, pytest.approx(2 / 3, abs=1e-4), 0.5],
            "score": [0.9, 0.8, 0.7, 0.1],
        },
        "dog": {"recall": [], "precision": [], "score": []},
        "owl": {"recall": [], "precision": [], "score": []},
    }
    best = {"score_threshold": 0.7, "f1": pytest.approx(2 / 3), "precision": pytest.approx(2 / 3)}
    assert report["best_f1"] == best | {"recall": pytest.approx(2 / 3)}
    assert report["best_f1_by_class"]["cat"]["f1"] == pytest.approx(4 / 5)
    assert report["best_f1_by_class"]["owl"] == dict.fromkeys(report["best_f1"])
    assert {name: size["objects"] for name, size in report["AP_by_size"].items()} == {
        "small": 0,
        "medium": 2,
        "large": 1,
    }
    assert report["AP_by_size"]["small"]["mAP"] is None
    assert report["AP_by_size"]["medium"]["mAP"] == pytest.approx(1)
    assert report["AP_by_size"]["large"]["mAP"] == 0
    counts = {name: error["count"] for name, error in report["errors"].items()}
    assert counts == {"classification": 1, "localisation": 0, "both": 0, "duplicate": 0, "background": 1, "missed": 0}
    assert report["errors"]["classification"]["mAP_cost"] > 0.5
    assert report["errors"]["background"]["mAP_cost"] == 0
    assert report["confusions"] == [{"truth": "dog", "predicted": "cat", "count": 1}]
    assert report["best_images"] == [
        {"image_id": "12", "score": 1, "objects": 1},
        {"image_id": "11", "score": 0.5, "objects": 2},
    ]
    assert report["worst_images"] == report["best_images"][::-1]


def test_nothing_to_analyse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for objects, found in (([], []), (ANNOTATIONS, []), ([], FOUND)):
        for rule in ("ilsvrc", "voc", "coco"):
            report = score_files(tmp_path, objects, found, "--rule", rule)
            assert report.keys() >= SECTIONS
            assert set(report["best_f1"].values()) == {None}
            assert report["confusions"] == []
            assert report["errors"]["missed"] == {"count": len(objects), "mAP_cost": 0 if objects else None}
            assert "error" in capsys.readouterr().out


def test_tables_are_aligned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score_files(tmp_path, ANNOTATIONS, FOUND, "--rule", "coco")
    printed_tables = capsys.readouterr().out.split("\n\n")
    assert printed_tables[0].splitlines()[-1] == (
        "best F1 at IoU 0.5: 0.6667 at a score of 0.7 or more, precision 0.6667, recall 0.6667"
    )
    assert [table.split(None, 1)[0] for table in printed_tables[1:]] == ["size", "error", "class", "most"]
    assert all(len({len(line) for line in table.strip("\n").splitlines()}) == 1 for table in printed_tables[1:])
    assert printed_tables[1].splitlines()[1] == "small         0       -"
    assert printed_tables[4].splitlines()[1] == "dog taken for cat        1"


def test_best_and_worst_of_many_classes(tmp_path: Path) -> None:
    report = score_files(tmp_path, ANNOTATIONS, FOUND, "--rule", "voc", "--resamples", "0")
    values = {f"class {place:02}": place / 20 for place in range(20)} | {"absent": None, "x" * 60: 0.99}
    many = report | {"AP": values, "objects_by_class": dict.fromkeys(values, 3)}
    best, worst = format_report(many).split("\n\n")[3:5]
    assert best.splitlines()[0].split() == ["best", "class", "objects", "AP"]
    assert best.splitlines()[1].split() == ["x" * 37 + "...", "3", "0.9900"]
    assert [line.split()[1] for line in best.splitlines()[2:]] == ["19", "18", "17", "16"]
    assert [line.split()[1] for line in worst.splitlines()[1:]] == ["00", "01", "02", "03", "04"]
