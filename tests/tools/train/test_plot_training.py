"""Tests of reading the logs of runs, and of drawing them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from detection.errors import InputError
from detection.image import read_image
from tools.train.plot_training import command as plot_training
from tools.train.plot_training.plots import draw_training
from tools.train.plot_training.training_log import RunLog, read_run, smooth

# Lightning's own remarks on small runs.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")

HEADER = "epoch,lr-SGD,step,train_loss,train_top1,val_top1"


def write_log(folder: Path, version: int, rows: Sequence[str], header: str = HEADER) -> Path:
    path = folder / "log" / f"version_{version}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def losses(*values: tuple[int, float]) -> list[str]:
    return [f"0,,{step},{loss},0.5," for step, loss in values]


def test_reads_losses_and_accuracies_by_steps_done(tmp_path: Path) -> None:
    # The log counts steps from 0; rates and accuracies have rows of their own.
    rows = [",0.1,9,,,", "0,,9,5.5,0.1,", "0,,14,,,0.25", "0,,19,4.5,0.2,"]
    write_log(tmp_path, 0, rows)
    assert read_run(str(tmp_path)) == RunLog(str(tmp_path), [(10, 5.5), (20, 4.5)], [(15, 0.25)])


def test_resumed_run_goes_on_where_it_was_resumed(tmp_path: Path) -> None:
    # Killed after step 30, resumed from a checkpoint of step 20; and again, by the tenth and last part, from 40.
    write_log(tmp_path, 0, [*losses((9, 5), (19, 4), (29, 3)), "0,,29,,,0.9"])
    write_log(tmp_path, 1, [*losses((29, 3.5), (39, 2.5), (49, 2)), "1,,39,,,0.3", "1,,49,,,0.8"])
    write_log(tmp_path, 2, ["1,,0,,,0.7"])  # of a measurement
    write_log(tmp_path, 10, losses((49, 2.25), (59, 1)))
    run = read_run(str(tmp_path))
    assert run.losses == [(10, 5), (20, 4), (30, 3.5), (40, 2.5), (50, 2.25), (60, 1)]
    assert run.accuracies == [(40, 0.3)]


def test_log_of_a_run(uninterrupted: Path) -> None:
    run = read_run(str(uninterrupted))
    assert [step for step, _ in run.losses] == list(range(1, 31))
    assert [step for step, _ in run.accuracies] == [10, 20, 30]


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    write_log(tmp_path, 0, losses((0, 2), (1, float("nan")), (2, 1)))
    assert read_run(str(tmp_path)).losses == [(1, 2), (3, 1)]


def test_smoothing() -> None:
    # Weights of 1, 1/2 and 1/4; of 1/2, 1 and 1/2; of 1/4, 1/2 and 1.
    assert smooth([4, 1, 2], 0.5) == pytest.approx([(4 + 0.5 + 0.5) / 1.75, (2 + 1 + 1) / 2, (1 + 0.5 + 2) / 1.75])
    assert smooth([4, 1, 2], 0) == [4, 1, 2]
    assert smooth([3] * 5, 0.99) == pytest.approx([3] * 5)
    assert smooth([1, 2, 3, 4, 5], 0.5)[2] == pytest.approx(3)  # no lag
    assert smooth([], 0.9) == []


def test_a_colour_a_run() -> None:
    runs = [RunLog("runs/a", [(10, 2.0), (20, 1.0)], [(20, 0.5)]), RunLog("runs/$b", [(10, 3.0)], [])]
    figure = draw_training(runs, smoothing=0.5)
    left, right = figure.axes
    raw, smoothed, other, _ = left.lines
    assert np.asarray(raw.get_xdata()).tolist() == [10, 20]
    assert np.asarray(raw.get_ydata()).tolist() == [2, 1]
    assert np.asarray(smoothed.get_ydata()).tolist() == pytest.approx([2.5 / 1.5, 2 / 1.5])
    assert np.asarray(right.lines[0].get_xdata()).tolist() == [20]
    assert to_rgba(right.lines[0].get_color()) == to_rgba(smoothed.get_color()) != to_rgba(other.get_color())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["runs/a", "runs/$b"]
    assert left.get_xlabel() == "steps"
    assert right.get_xlim() == left.get_xlim()


def test_many_runs_have_colours_of_their_own() -> None:
    figure = draw_training([RunLog(str(index), [(1, 1.0)], []) for index in range(14)], smoothing=0)
    assert len({to_rgba(line.get_color()) for line in figure.axes[0].lines}) == 14
    assert [text.get_text() for text in figure.axes[1].texts] == ["no validation yet"]
    assert figure.axes[0].get_xlabel() == "steps"


def test_from_the_command_line(uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path / "other", 0, [*losses((9, 5), (19, 4.25)), "0,,9,,,0.5", "0,,19,,,0.25"])
    output = tmp_path / "new" / "curves.png"
    assert plot_training.main([str(uninterrupted), str(tmp_path / "other"), "--save", str(output)]) == 0
    assert read_image(output).shape[1] == 1500
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{uninterrupted}: 30 steps, loss ")
    assert second == f"{tmp_path / 'other'}: 20 steps, loss 4.250, best top-1 in validation 50.0% after 10 steps"


def message(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a failing run prints."""
    assert plot_training.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("detect-plot-training: ")


def test_nothing_to_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save = ["--save", str(tmp_path / "curves.png")]
    missing, empty, young = (tmp_path / name for name in ("missing", "empty", "young"))
    empty.mkdir()
    assert message([str(missing), *save], capsys).startswith(f"{missing}: expected the folder of a training run")
    assert message([str(empty), *save], capsys).startswith(f"{empty}: expected the log of a training run")
    path = write_log(young, 0, [",0.1,9,,,"])
    assert (
        message([str(young), *save], capsys) == f"{young}: expected losses of a training run in {path}, found none yet"
    )
    path.write_text("")
    assert (
        message([str(young), *save], capsys) == f"{young}: expected losses of a training run in {path}, found none yet"
    )
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("row", ["0,,9,much,0.5,", "0,,,1.5,0.5,", "0,,x,1.5,0.5,"])
def test_numbers_that_are_none(row: str, tmp_path: Path) -> None:
    path = write_log(tmp_path, 0, [*losses((0, 2)), row])
    with pytest.raises(InputError, match="expected numbers in row 3") as caught:
        read_run(str(tmp_path))
    assert str(caught.value).startswith(f"{path}: ")


def test_file_that_is_no_text(tmp_path: Path) -> None:
    write_log(tmp_path, 0, []).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"metrics\.csv:1: expected the CSV log .* in utf-16: truncated data"):
        read_run(str(tmp_path))


@pytest.mark.parametrize("share", ["1", "-0.1"])
def test_smoothing_out_of_range(share: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        plot_training.main(["a", "--save", str(tmp_path / "curves.png"), "--smoothing", share])
    assert "smoothing" in capsys.readouterr().err
