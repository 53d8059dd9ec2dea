"""The benchmark of training: the samples per second of a run, against those of a bare loop, which is the limit.

detect-benchmark training --config tiny_imagenet.yaml --data FOLDER --steps 50

The baseline is the same network, optimiser, batch and precision on random tensors that are already on the device:
forward, loss, backward, step. The run is that of `detect-train fit`, with all that it decodes, crops, distorts,
averages and logs. The two take turns.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.nn import functional

from classifier.training.samples.region_batch import RegionBatch
from tools.command.experiment import add_experiment_options, parse_experiment
from tools.command.option_parser import OptionParser
from tools.command.options import Count
from tools.measure.benchmark.timing import now
from tools.train.runs.classifier_run import ClassifierRun
from tools.train.runs.trainer import build_trainer

WARM_UP_STEPS = 10
"""The number of steps that are not measured: the first ones wait for loader processes and choose kernels."""


class Round(NamedTuple):
    """Samples per second of the run and of the bare loop."""

    run: float
    bare: float


class StepClock(Callback):
    """Notes the time after the warm-up and after the last step, and the number of regions of a step."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.regions = 0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: Any,  # noqa: ARG002
        batch: RegionBatch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        self.regions = len(batch.labels)
        if trainer.global_step in (WARM_UP_STEPS, trainer.max_steps):
            self.times.append(now(module.device))


def build_parser() -> OptionParser:
    """Return the parser of the options: those of the experiment, and the number of steps and rounds."""
    parser = OptionParser(prog="detect-benchmark training", description="Time a training run.")
    add_experiment_options(parser, detector_required=False)
    parser.add_argument("--steps", type=Count, default=50, help="measured steps of a round")
    parser.add_argument("--repeat", type=Count, default=3, help="rounds")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = build_parser()
    settings = parse_experiment(parser, arguments)
    settings.action, settings.ckpt_path = "fit", None
    print(format_rounds(measure(ClassifierRun(parser, settings))))


def measure(run: ClassifierRun) -> list[Round]:
    """Time the run and the bare loop in turn, and return all rounds."""
    settings = run.settings
    rounds = []
    for _ in range(settings.repeat):
        with tempfile.TemporaryDirectory() as folder:
            clock = StepClock()
            module: Any = run.module()
            data = run.data(module)
            trainer = build_trainer(*_short_run(settings, run.built, folder), [clock], metric=run.metric)
            trainer.fit(module, datamodule=data)
        samples = settings.steps * clock.regions
        start, end = clock.times
        bare = samples / time_bare_loop(trainer, module, settings, regions=clock.regions)
        rounds.append(Round(samples / (end - start), bare))
    return rounds


def time_bare_loop(trainer: Trainer, module: Any, settings: Namespace, *, regions: int) -> float:
    """Return the seconds of as many steps on random tensors, in the precision of the trainer, after a warm-up."""
    device = trainer.strategy.root_device
    network = module.network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), settings.learning_rate, momentum=settings.momentum)
    largest = max(module.training_sizes)
    images = torch.randn(regions, 3, largest, largest, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(regions, dtype=torch.int64, device=device)
    start = 0.0
    for step in range(WARM_UP_STEPS + settings.steps):
        if step == WARM_UP_STEPS:
            start = now(device)
        size = module.training_size(step / (WARM_UP_STEPS + settings.steps))
        inputs = images[..., :size, :size].contiguous(memory_format=torch.channels_last)
        with trainer.precision_plugin.forward_context():
            loss = functional.cross_entropy(network(inputs).logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return now(device) - start


def format_rounds(rounds: list[Round]) -> str:
    """Return a table with a row each for the run, the bare loop, and their ratio."""
    rows = {
        "run": ("8.1f", [timed.run for timed in rounds]),
        "bare": ("8.1f", [timed.bare for timed in rounds]),
        "run / bare": ("8.1%", [timed.run / timed.bare for timed in rounds]),
    }
    lines = [f"{len(rounds)} rounds, samples per second median      min      max"]
    for name, (form, values) in rows.items():
        figures = (statistics.median(values), min(values), max(values))
        lines.append(f"  {name:28} " + " ".join(f"{figure:{form}}" for figure in figures))
    return "\n".join(lines)


def _short_run(settings: Namespace, built: Namespace, folder: str) -> tuple[Namespace, dict[str, Any]]:
    """Return the same options, and those of the trainer, for a run as long as a round and without validation."""
    short = settings.clone()
    short.output = folder
    options = vars(built.trainer) | {
        "max_epochs": -1,
        "max_steps": WARM_UP_STEPS + settings.steps,
        "limit_val_batches": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return short, options
