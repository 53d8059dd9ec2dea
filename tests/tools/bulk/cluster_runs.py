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
            process.wait(600)


def start(options: Sequence[str], output: Path) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    command = [sys.executable, "-m", "tools.bulk", *options, "--output", str(output)]
    return subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


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


def kill(kind: str, process: subprocess.Popen[str], cluster: TwoNodes | None, generator: random.Random) -> bool:
    """Kill the command, one of its workers, or the second node; return False if there is no worker yet."""
    if cluster is None or kind == "driver":
        process.kill()
        process.wait()
    elif kind == "node":
        cluster.replace_node()
    elif pids := worker_pids():
        os.kill(generator.choice(pids), signal.SIGKILL)
    else:
        return False
    return True


def wait_for_partition(output: Path, process: subprocess.Popen[str], *, limit: float = 600) -> None:
    """Wait until another partition is finished, the command has ended, or `limit` seconds have passed."""
    before, end = finished(output), time.monotonic() + limit
    while finished(output) == before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


def run_with_kills(options: Sequence[str], folder: Path, cluster: TwoNodes | None, *, kills: int, seed: int) -> bool:
    """Run the command until something was killed `kills` times while it worked, and return True if nothing was lost.

    A run whose driver is killed is started again; one whose worker or node is killed goes on. When a run has ended, its
    files are compared with those in `folder / "local"`, and another one begins. Without a cluster, it is always the
    command that is killed.
    """
    generator, killed, runs, expected = random.Random(seed), 0, 0, finished(folder / "local")
    for _ in range(3 * kills):  # more starts than that mean that the command does not get on
        output = folder / f"killed-{runs}"
        process = start(options, output)
        while killed < kills and process.poll() is None:
            if killed % 4:  # the others are killed at any time since the start or the last kill
                wait_for_partition(output, process)
            time.sleep(generator.uniform(0, 0.5 if killed % 4 else 10))
            kind = "driver" if cluster is None else KINDS[killed % len(KINDS)]
            if process.poll() is None and kill(kind, process, cluster, generator):
                killed += 1
                print(f"{killed}: killed the {kind} of run {runs}, with {finished(output)} partitions", flush=True)
        _, err = process.communicate()
        if process.returncode != -signal.SIGKILL:
            print(f"run {runs} ended with status {process.returncode}: {err[-300:]}", flush=True)
        if finished(output) == expected and process.returncode in (0, 1):
            if not same_files(folder / "local", output):
                return False
            runs += 1
            if killed >= kills:
                return True
    return False


def same_files(first: Path, second: Path) -> bool:
    """Return True if two folders have files of the same names and bytes."""
    first_files, second_files = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (first, second)
    )
    return first_files == second_files


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
    kills = {"kills": chosen.kills, "seed": chosen.seed}
    if chosen.engine == "local":
        same = run_with_kills(chosen.options, chosen.folder, None, **kills)
    else:
        with two_nodes() as cluster:
            options = [*chosen.options, "--engine", "ray", "--address", cluster.address]
            same = run_with_kills(options, chosen.folder, cluster, **kills)
    print(f"{chosen.kills} kills; the files are {'the same' if same else 'DIFFERENT'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
