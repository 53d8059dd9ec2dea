"""How fast a training run is, against the bare loop that no training can beat.

detect-benchmark training --config tiny_imagenet.yaml --data FOLDER --steps 50

The baseline is the same network, optimiser, batch and precision on random tensors that are already on the device:
forward, loss, backward, step. The run is that of `detect-train fit`, with all that it decodes, cuts,
distorts, averages and logs. The two take turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.nn import functional

from classifier.training.samples.region_batch import RegionBatch
from detection.training.memory_use import memory_use
from tools.command.experiment import add_experiment_options
from tools.train.runs.classifier_run import ClassifierRun
from tools.train.runs.trainer import build_trainer

WARM_UP_STEPS = 10
"""Not measured: the first steps wait for loader processes and choose kernels."""


class Round(NamedTuple):
    """Samples a second of the run and of the bare loop, and `memory_use` after the warm-up and after the last step."""

    run: float
    bare: float
    memory: list[dict[str, float]]


class StepClock(Callback):
    """Takes time and memory at the end of the warm-up and at the end of the last step, and the regions of a step."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.memory: list[dict[str, float]] = []
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
            self.times.append(_now(module.device))
            self.memory.append(memory_use(module.device))


def build_parser() -> ArgumentParser:
    """The options of the tool: those of the experiment, of which any can be overridden, and the extent of the test."""
    parser = ArgumentParser(prog="detect-benchmark training", description="Time a training run.")
    add_experiment_options(parser, detector_required=False)
    parser.add_argument("--steps", type=PositiveInt, default=50, help="measured steps of a round")
    parser.add_argument("--repeat", type=PositiveInt, default=3, help="rounds")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    settings.action, settings.ckpt_path = "fit", None
    print(format_rounds(measure(ClassifierRun(parser, settings))))


def measure(run: ClassifierRun) -> list[Round]:
    """The run and the bare loop in turn, as often as asked for."""
    settings = run.settings
    rounds = []
    for _ in range(settings.repeat):
        with tempfile.TemporaryDirectory() as folder:
            clock = StepClock()
            module = run.module()
            data = run.data(module)
            trainer = build_trainer(*_short_run(settings, run.built, folder), [clock], metric=run.metric)
            trainer.fit(module, datamodule=data)
        samples = settings.steps * clock.regions
        start, end = clock.times
        bare = samples / time_bare_loop(trainer, module, settings, regions=clock.regions)
        rounds.append(Round(samples / (end - start), bare, clock.memory))
    return rounds


def time_bare_loop(trainer: Trainer, module: Any, settings: Namespace, *, regions: int) -> float:
    """Seconds of as many steps on random tensors, with the precision of the trainer, after a warm-up."""
    device = trainer.strategy.root_device
    network = module.network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), settings.learning_rate, momentum=settings.momentum)
    largest = max(module.training_sizes)
    images = torch.randn(regions, 3, largest, largest, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(regions, dtype=torch.int64, device=device)
    start = 0.0
    for step in range(WARM_UP_STEPS + settings.steps):
        if step == WARM_UP_STEPS:
            start = _now(device)
        size = module.training_size(step / (WARM_UP_STEPS + settings.steps))
        inputs = images[..., :size, :size].contiguous(memory_format=torch.channels_last)
        with trainer.precision_plugin.forward_context():
            loss = functional.cross_entropy(network(inputs).logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _now(device) - start


def format_rounds(rounds: list[Round]) -> str:
    """A line for each of run, baseline and their ratio, and one for each measure of memory."""
    lines = [f"{len(rounds)} rounds, samples a second   median      min      max"]
    ratios = [one.run / one.bare for one in rounds]
    for name, values in (("run", [one.run for one in rounds]), ("bare", [one.bare for one in rounds])):
        lines.append(f"  {name:28} {statistics.median(values):8.1f} {min(values):8.1f} {max(values):8.1f}")
    lines.append(f"  {'run / bare':28} {statistics.median(ratios):8.1%} {min(ratios):8.1%} {max(ratios):8.1%}")
    lines.append("memory from the first to the last measured step of each round, GiB, of the main process")
    for name in rounds[0].memory[0]:
        spans = [" to ".join(f"{use[name]:.2f}" for use in one.memory) for one in rounds]
        lines.append(f"  {name:28} {', '.join(spans)}")
    return "\n".join(lines)


def _short_run(settings: Namespace, built: Namespace, folder: str) -> tuple[Namespace, dict[str, Any]]:
    """The same options and those of the trainer, for a run as long as a round and without validation."""
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


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
