"""The job `detect-train DATA`, with a training of six steps."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from detection.configuration import read_yaml
from detection.runtime.child_process import child_environment, module_command
from tools.fuzz.faults.job import Job
from tools.train import train_classifier
from tools.train.own_classes import step, steps
from tools.train.own_classes.folder import DetectorFolder

STEPS = 6


def make_own_classes_job(folder: Path, data: Path, propose: dict[str, Any]) -> Job:
    """Return the job; what the command writes before its training is made here, with settings for a short one.

    Args:
        folder: where to write.
        data: a folder of pictures with boxes.
        propose: the settings of a fast proposer.
    """
    begun = DetectorFolder(folder / "begun")
    options = [str(data), "--size", "small", "--time", "1m"]
    # In a process of its own, since the jobs are forked from this one, which must not have used threads.
    dry_run = module_command(train_classifier.__name__, *options, "--output", str(begun.root), "--dry-run")
    subprocess.run(dry_run, env=child_environment(), stdout=subprocess.DEVNULL, check=True)
    settings = read_yaml(begun.training_file)
    settings |= {"batch_size": 2, "workers": 0, "input_size": 48, "checkpoint_steps": 2}
    settings["trainer"] |= {"max_steps": STEPS, "max_time": None, "log_every_n_steps": 1}
    settings["detector"]["propose"] = propose
    begun.training_file.write_text(yaml.safe_dump(settings))

    def arguments(output: Path) -> list[str]:
        root = output / "detector"
        if not root.exists():
            shutil.rmtree(output / "copy", ignore_errors=True)
            shutil.copytree(begun.root, output / "copy").rename(root)
        return [*options, "--output", str(root)]

    return Job(_train, arguments, _detector)


def _train(arguments: Sequence[str]) -> int:
    """Run the command with forked processes as its steps, because new processes would spend their time on imports."""
    steps.run = _run_in_fork
    return train_classifier.main(arguments)


def _run_in_fork(module: str, *arguments: str) -> None:
    """Run a step in a forked process, in place of `steps.run`. The step also ends if this process ends."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.dup2(reading, 0)
        status = 70
        try:
            status = step.main([module, *arguments])
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(writing)
    if status:
        sys.exit(status)


def _detector(output: Path) -> Any:
    """Return the weights, the settings and the figures of a finished detector."""
    root = output / "detector"
    weights, settings = (root / name for name in (DetectorFolder(root).member_name(1), "detector.yaml"))
    return weights.read_bytes(), settings.read_text(), json.loads((root / "figures.json").read_text())
