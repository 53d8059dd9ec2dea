"""Runs trainings in processes that are forked from one that has imported everything, which takes ten seconds.

The process of pytest itself cannot be forked for it, because a fork of a process with threads could hang.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import forkserver, get_context, set_start_method
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from lightning.fabric.plugins.environments.lightning import find_free_network_port

from classifier.training.samples.region_samples import ObjectSamples
from detection.runtime.child_process import child_environment
from tools.train import train_classifier

SECONDS = 600
"""The longest time that a training may take."""


class Training(NamedTuple):
    """A training that has ended: the exit status of each of its processes, and what the first one printed."""

    statuses: list[int | None]
    printed: str


def train(arguments: list[str], log: Path, *, processes: int = 1, killed_at: int | None = None) -> Training:
    """Train in one or more processes, and wait for their end.

    Args:
        arguments: those of `detect-train`.
        log: a file for what the first process prints; the others write beside it.
        processes: the number of processes. They are started as a cluster starts them, each with its rank.
        killed_at: the position of a picture in the second epoch, at which the process that loads it is killed. Each
            process then writes which pictures it loads: see `loaded_pictures`.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with patch.dict(os.environ, child_environment() | {"OMP_NUM_THREADS": "1"}):
        forkserver.ensure_running()
    started = []
    cluster = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port()), "NODE_RANK": "0"}
    for rank in range(processes):
        variables = cluster | {"LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)} if processes > 1 else {}
        process = context.Process(target=_train, args=(arguments, _beside(log, rank), variables, killed_at))
        process.start()
        started.append(process)
    for process in started:
        process.join(SECONDS)
        process.kill()
    return Training([process.exitcode for process in started], log.read_text())


def loaded_pictures(log: Path, rank: int) -> list[str]:
    """Return the epoch and the path of each picture that a process loaded, if `train` had to kill one."""
    return _beside(log, rank).with_suffix(".loaded").read_text().splitlines()


def _beside(log: Path, rank: int) -> Path:
    return log.with_stem(f"{log.stem}_{rank}") if rank else log


def _train(arguments: list[str], log: Path, variables: dict[str, str], killed_at: int | None) -> None:
    """Train in this process, a forked one."""
    set_start_method("fork", force=True)  # of loader processes, as in a command; here it would be "forkserver"
    os.environ.update(variables)
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if killed_at is not None:
        ObjectSamples.draw = _drawing_until(killed_at, log.with_suffix(".loaded"))  # type: ignore[method-assign]
    sys.exit(train_classifier.main(arguments))


def _drawing_until(position: int, loaded: Path) -> Callable[..., Any]:
    """Return `ObjectSamples.draw`, but for a process that is killed at a position of the second epoch."""
    original = ObjectSamples.draw

    def draw(self: ObjectSamples, keys: Any, *others: Any) -> Any:
        with loaded.open("a") as file:
            for key in keys:
                print(key.epoch, self.paths[key.record], file=file)
        if any((key.epoch, key.position) == (1, position) for key in keys):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, keys, *others)

    return draw
