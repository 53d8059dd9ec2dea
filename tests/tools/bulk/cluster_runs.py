# ruff: noqa: T201  a program that prints
"""Runs of `detect-dataset` on a Ray cluster of two nodes, in which the driver, workers and a node are killed.

`python -m tests.tools.bulk.cluster_runs FOLDER --kills 20` kills at random points, and starts the command again until
it ends. It prints what it killed and when, and fails unless the files are those of a run on this machine alone.
With `--engine local` there is no cluster, and the command itself is killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}

KINDS = ("driver", "worker", "node")
"""The processes to kill: the command itself, one of its workers, or the second node with all of its workers."""


class TwoNodes:
    """A cluster of two nodes, each with a core; `process` holds it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the cluster did not start")
        return line

    def replace_node(self) -> None:
        """Kill the second node, and start another one in its place."""
        for order in ("remove", "add"):
            assert self._process.stdin is not None
            self._process.stdin.write(f"{order}\n")
            self._process.stdin.flush()
            self._line()


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Start a cluster of two nodes, and end it after the block."""
    command = [sys.executable, str(Path(__file__).with_name("two_nodes.py"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=ENVIRONMENT, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield TwoNodes(process)
        finally:
            process.stdin.close()
            process.wait(60)


def start(options: Sequence[str], output: Path) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    command = [sys.executable, "-m", "tools.bulk", *options, "--output", str(output)]
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, text=True, stderr=subprocess.PIPE)


def finished(output: Path) -> int:
    """Return the number of files of partitions."""
    return len(list(output.glob("part-*.parquet")))


def worker_pids() -> list[int]:
    """Return the processes of the workers of `detect-dataset`, of all clusters on this machine."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::MapWorker" in path.read_bytes():
                pids.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return pids


def kill(kind: str, process: subprocess.Popen[str], cluster: TwoNodes | None, generator: random.Random) -> None:
    """Kill the command, one of its workers, or the second node."""
    if cluster is None or kind == "driver":
        process.kill()
    elif kind == "node":
        cluster.replace_node()
    elif pids := worker_pids():
        os.kill(generator.choice(pids), signal.SIGKILL)


def wait_for_partition(output: Path, process: subprocess.Popen[str], *, limit: float = 600) -> None:
    """Wait until another partition is finished, the command has ended, or `limit` seconds have passed."""
    before, end = finished(output), time.monotonic() + limit
    while finished(output) == before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


def run_with_kills(options: Sequence[str], output: Path, cluster: TwoNodes | None, *, kills: int, seed: int) -> int:
    """Run the command until it ends by itself, kill something `kills` times, and return its last exit status.

    Without a cluster, it is always the command that is killed.
    """
    generator = random.Random(seed)
    for number in range(kills):
        kind = "driver" if cluster is None else KINDS[number % len(KINDS)]
        process = start(options, output)
        if number % 4:  # the others are killed at any time since the start
            wait_for_partition(output, process)
        time.sleep(generator.uniform(0, 0.5 if number % 4 else 10))
        state = "at work" if process.poll() is None else "that had ended"
        kill(kind, process, cluster, generator)
        print(f"{number + 1}: killed the {kind} of a run {state}, with {finished(output)} partitions", flush=True)
        _, err = process.communicate()
        if state != "at work":
            print(f"it ended with status {process.returncode}: {err[-300:]}", flush=True)
    last = start(options, output)
    _, err = last.communicate()
    print(err, end="", flush=True)
    return last.returncode


def same_files(first: Path, second: Path) -> bool:
    """Return True if two folders have files of the same names and bytes."""
    one, other = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (first, second))
    return one == other


def main() -> int:
    """Run the command without and with kills, and compare the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the results; it is created")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--engine", choices=("local", "ray"), default="ray")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("options", nargs="+", help="options of detect-dataset, behind --")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True)
    start(chosen.options, chosen.folder / "local").communicate()
    output = chosen.folder / "killed"
    if chosen.engine == "local":
        status = run_with_kills(chosen.options, output, None, kills=chosen.kills, seed=chosen.seed)
    else:
        with two_nodes() as cluster:
            options = [*chosen.options, "--engine", "ray", "--address", cluster.address]
            status = run_with_kills(options, output, cluster, kills=chosen.kills, seed=chosen.seed)
    same = same_files(chosen.folder / "local", output)
    print(f"status {status}, {chosen.kills} kills; the files are {'the same' if same else 'DIFFERENT'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
