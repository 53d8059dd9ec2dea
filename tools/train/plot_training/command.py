"""Draw the curves of training runs in one plot: the loss in training and the accuracy in validation.

detect-plot-training runs/a runs/b --save curves.png

It reads the CSV files that `detect-train fit` writes, even during a run. `training_log.py` reads them, and `plots.py`
draws the curves.
"""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse.typing import restricted_number_type

from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.output_file import KINDS, add_overwrite_option, prepare_output
from tools.command.picture_file import save_figure
from tools.train.plot_training.training_log import SMOOTHING, RunLog, read_run

Smoothing = restricted_number_type("Smoothing", float, [(">=", 0), ("<", 1)])


def build_parser() -> OptionParser:
    """Return the parser of the command."""
    parser = OptionParser(prog="detect-plot-training", description="Draw the curves of training runs.")
    parser.add_argument("runs", type=str, nargs="+", help="folders that are the --output of a run")
    parser.add_argument("--save", type=str, required=True, help="PNG file to draw")
    smoothing = "weight of the next value in the average of a loss, 0 to below 1"
    add_overwrite_option(parser)
    parser.add_argument("--smoothing", type=Smoothing, default=SMOOTHING, help=smoothing)
    return parser


@command("detect-plot-training")
def main(arguments: Sequence[str]) -> None:
    """Read the logs, draw the plot, and print a line for each run."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    file = prepare_output(settings, "save", KINDS["plot"], parser.prog)
    runs = [read_run(folder) for folder in settings.runs]
    from tools.train.plot_training.plots import draw_training  # noqa: PLC0415  matplotlib is slow to import, and optional

    save_figure(draw_training(runs, smoothing=settings.smoothing), file)
    for run in runs:
        print(describe(run))


def describe(run: RunLog) -> str:
    """Return a line that says how far a run is."""
    step, loss = run.losses[-1]
    line = f"{run.name}: {step} steps, loss {loss:.3f}"
    if run.accuracies:
        best_step, best = max(run.accuracies, key=lambda value: value[1])
        line += f", best top-1 in validation {best:.1%} after {best_step} steps"
    return line
