"""The curves of `detect-coverage`, drawn with matplotlib: what proposals find against their number."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from tools.command.output_file import OutputFile
from tools.command.picture_file import save_figure
from tools.measure.coverage.report import MAIN_GROUP, CoverageReport


def draw_coverage(report: CoverageReport, file: OutputFile) -> None:
    """Draw the coverage and the average recall of the main group of objects in a PNG file.

    Each source has a line, which ends at its number of proposals.
    """
    main = report.size_groups()[MAIN_GROUP]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    for name, coverage in report.coverages.items():
        counts = coverage.proposals_per_image()
        left.plot(counts, coverage.recall(main), marker="o", markersize=4, label=name)
        right.plot(counts, coverage.average_recall(main), marker="o", markersize=4, label=name)
    titles = ("coverage: recall at IoU 0.5", "average recall, IoU 0.50 to 0.95")
    for axes, title in zip((left, right), titles, strict=True):
        axes.set(title=title, xscale="log", xlabel="proposals per image", ylim=(0, 1))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(which="both", alpha=0.3)
    left.set_ylabel(f"objects {MAIN_GROUP} px")
    left.legend(loc="upper left")
    save_figure(figure, file)
