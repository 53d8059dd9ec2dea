"""The command `detect-picture-network`, from its options to what the pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from classifier.scoring.weights_file import load_weights
from detection.image import read_image
from tools.measure import picture_network
from tools.measure.picture_network import draw_filters, first_filters
from tools.report import classification_plots
from tools.report.classification_plots import NeighbourRow, Prediction, draw_errors, draw_neighbours, draw_predictions

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(name="pictures")
def pictures_of_the_data_set(tiny_images: Path) -> list[str]:
    folder = tiny_images / "tiny-imagenet-200" / "val" / "images"
    return [str(folder / f"{index}.png") for index in (0, 1)]


def test_filters(tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new" / "filters.png"
    assert picture_network.main(["filters", "--weights", str(tiny_weights), "--output", str(output)]) == 0
    assert capsys.readouterr().out.startswith(f"{output}: ")
    assert np.array_equal(read_image(output), draw_filters(first_filters(load_weights(tiny_weights)[0])))


def test_predictions(tiny_weights: Path, pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Prediction] = []

    def recorded(predictions: Sequence[Prediction]) -> object:
        drawn.extend(predictions)
        return draw_predictions(predictions)

    monkeypatch.setattr(classification_plots, "draw_predictions", recorded)
    output = tmp_path / "predictions.png"
    options = ["--truth", "cup", "cat", "--weights", str(tiny_weights), "--output", str(output), "--device", "cpu"]
    assert picture_network.main(["predictions", *pictures, *options]) == 0
    assert read_image(output).shape[1] == 1200
    assert [prediction.title for prediction in drawn] == ["0.png", "1.png"]
    assert [prediction.truth for prediction in drawn] == ["cup", "cat"]
    for prediction in drawn:
        assert sorted(prediction.names) == ["cat", "cup", "rocket"]
        assert sorted(prediction.probabilities, reverse=True) == prediction.probabilities
        assert sum(prediction.probabilities) == pytest.approx(1)


def test_neighbours(
    tiny_weights: Path, pictures: list[str], tiny_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[NeighbourRow] = []

    def recorded(rows: Sequence[NeighbourRow]) -> object:
        drawn.extend(rows)
        return draw_neighbours(rows)

    monkeypatch.setattr(classification_plots, "draw_neighbours", recorded)
    output = tmp_path / "neighbours.png"
    data = ["--dataset", "detection.datasets.TinyImageNet", "--data", str(tiny_images), "--count", "20"]
    options = ["--weights", str(tiny_weights), "--output", str(output), "--device", "cpu"]
    assert picture_network.main(["neighbours", *pictures, *data, *options]) == 0
    assert read_image(output).shape[0] == round(2 * 2.1 * 150)
    assert [row.title for row in drawn] == ["0.png", "1.png"]
    queries = [read_image(path) for path in pictures]
    for row in drawn:
        assert len(row.images) == 10  # the 12 of the data set but the two queries
        assert not any(np.array_equal(image, query) for image in row.images for query in queries)
        assert sorted(row.distances) == row.distances
        assert set(row.names) == {"cat", "cup", "rocket"}


def test_bars_are_the_probabilities_and_the_truth_stands_out() -> None:
    names, shares = ("a$b$c", "true one", "x" * 90), (0.5, 0.3, 0.1)
    figure = draw_predictions([Prediction("1.png", IMAGE, names, shares, "true one")])
    left, right = figure.axes
    assert left.get_xlabel() == "1.png\ntruth: true one"
    bars = [bar for bar in right.patches if isinstance(bar, Rectangle)]
    assert [bar.get_width() for bar in bars] == list(shares)
    assert [bar.get_facecolor() == to_rgba("tab:green") for bar in bars] == [False, True, False]
    assert [label.get_text() for label in right.get_yticklabels()] == ["a$b$c", "true one", "x" * 37 + "..."]
    assert [label.get_text() for label in right.texts] == ["50.0%", "30.0%", "10.0%"]
    assert not any(label.get_parse_math() for label in right.get_yticklabels())  # or $ would start a formula


def test_neighbours_beside_their_query() -> None:
    rows = [NeighbourRow(name, IMAGE, [IMAGE] * 2, ("cat", "cup"), (0.5, 12.345)) for name in ("1.png", "2.png")]
    labels = [axes.get_xlabel() for axes in draw_neighbours(rows).axes]
    assert labels == ["1.png", "cat\n0.50", "cup\n12.35", "2.png", "cat\n0.50", "cup\n12.35"]


def test_errors_are_a_line_for_each_number_of_models() -> None:
    grid = [(1, 1, 0.5), (1, 10, 0.4), (2, 1, 0.3), (2, 10, 0.2)]
    errors = [{"models": m, "crops": k, "top1_error": e, "top5_error": e / 2} for m, k, e in grid]
    for axes, factor in zip(draw_errors(errors).axes, (100, 50), strict=True):
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10"]
        lines = {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
        assert lines == {"1 model": [0.5 * factor, 0.4 * factor], "2 models": [0.3 * factor, 0.2 * factor]}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["1.png", "2.png", "--truth", "cat"], "--truth: expected a class for each of the 2 images, got 1"),
        (["1.png", "2.png", "--truth", "cat", "dog"], "got 'dog'"),
        (["none.png"], "none.png: expected a readable image"),
        (["none.png"] * 101, "expected at most 100 images, a row each, got 101"),
    ],
)
def test_bad_predictions(
    arguments: list[str], reason: str, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--weights", str(tiny_weights), "--output", str(tmp_path / "bars.png"), "--device", "cpu"]
    assert picture_network.main(["predictions", *arguments, *options]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("detect-picture-network: ")
    assert reason in error
    assert "\n" not in error


def test_another_format(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert picture_network.main(["filters", "--weights", str(tiny_weights), "--output", "filters.jpg"]) == 1
    assert "filters.jpg: expected a name that ends in .png" in capsys.readouterr().err


def test_no_neighbours_but_the_queries(
    tiny_weights: Path, pictures: list[str], tiny_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--dataset", "detection.datasets.TinyImageNet", "--data", str(tiny_images), "--limit", "1"]
    options = ["--weights", str(tiny_weights), "--output", str(tmp_path / "neighbours.png"), "--device", "cpu"]
    assert picture_network.main(["neighbours", *pictures, *data, *options]) == 1
    assert "split 'val': expected images besides the given ones, found none" in capsys.readouterr().err
