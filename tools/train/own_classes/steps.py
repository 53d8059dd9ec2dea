"""The long steps of a training of own classes, each of which goes on where it stopped: proposals, then the networks.

Each step runs a command with the settings in training.yaml, in a process of its own: a process that has used the
threads of OpenCV cannot start the processes of a loader, and Lightning starts a command again for each further GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from detection.datasets.dataset import Entry
from detection.errors import InputError
from detection.image import read_image_size
from detection.runtime.child_process import child_environment, module_command
from tools.train.own_classes.folder import DetectorFolder
from tools.train.runs.classifier_run import ClassifierRun, build_parser

STEP = "tools.train.own_classes.step"
"""The module that runs the command of another module as a step."""

MOST_DECODED = 4 * 2**30
"""Bytes of decoded pictures that are kept on the disk, so that no step decodes a file; larger sets are decoded anew."""


def make_proposals(folder: DetectorFolder, data: Path) -> None:
    """Find the proposals of the training pictures that have none yet; the command names those that it leaves out."""
    options = ["--split=train", f"--output={folder.proposals}", f"--workers={os.cpu_count() or 1}"]
    run("tools.data.propose", *_common(folder, data), *options)


def train_member(folder: DetectorFolder, data: Path, member: int, *, seed: int, decode: bool, fit_module: str) -> None:
    """Train the weights of a member, unless they are there.

    Args:
        folder: folder of the detector.
        data: folder of the data.
        member: number of the member, from 1.
        seed: seed of the order of the samples.
        decode: True to keep the decoded pictures in a file.
        fit_module: the module whose command trains a network.

    Raises:
        SystemExit: if the training ends with an error, which it has printed.
    """
    weights, last = folder.root / folder.member_name(member), folder.run_folder(member) / "last.ckpt"
    if weights.exists():
        return
    common = [*_common(folder, data), f"--seed={seed}"]
    fit = [f"--proposals={folder.proposals}", f"--initial_weights={folder.start_weights}"]
    fit += [f"--output={folder.run_folder(member)}"]
    if decode:
        fit.append(f"--decoded_images={folder.work / 'train.decoded'}")
    if last.exists():
        fit.append(f"--ckpt_path={last}")
    run(fit_module, "fit", *common, *fit)
    parser = build_parser()
    export = ["export", *common, f"--ckpt_path={last}", f"--weights={weights}", "--stored_as=int8"]
    ClassifierRun(parser, parser.parse_args(export)).act()


def run(module: str, *arguments: str) -> None:
    """Run the command of a module in a process of its own.

    If this process is interrupted, the step deletes its temporary files and keeps what it has, and ends first.

    Raises:
        SystemExit: with status 1, if the step ended with an error, which it has printed.
        InputError: naming the module, if something else ended the step.
    """
    # Lightning's warnings are about code, which a user of the command cannot change.
    environment = child_environment() | {"PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(module_command(STEP, module, *arguments), env=environment, stdin=subprocess.PIPE)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    finally:
        process.kill()  # does nothing if the process has ended; else Ctrl-C was pressed again
        if process.stdin is not None:
            process.stdin.close()
    if status == 1:
        sys.exit(status)
    if status:
        raise InputError(f"{module}: expected the step to end by itself, got exit status {status}")


def fits_decoded(entries: Sequence[Entry]) -> bool:
    """Return True if the decoded pictures take at most `MOST_DECODED` bytes."""
    sizes = (entry.size or read_image_size(entry.record.path) for entry in entries)
    return sum(3 * height * width for height, width in sizes) <= MOST_DECODED


def _common(folder: DetectorFolder, data: Path) -> list[str]:
    return [f"--config={folder.training_file}", f"--data={data}"]
