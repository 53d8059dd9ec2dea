# ruff: noqa: T201  a program that prints
"""A Ray cluster of two nodes on this machine, for tests: `python two_nodes.py` prints its address.

A line "remove" on standard input kills the second node with all of its workers, "add" starts another one, and the end
of the input ends the cluster.
"""

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from ray.cluster_utils import Cluster

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}


PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
"""The ports of the two programs that help a node. A node that has to find out which ports they took waits for them at
most 15 seconds and then aborts, which is too short on a machine that is busy with other tests."""


def node_options() -> dict[str, Any]:
    """Return the options of a node, with ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in PORTS]
        for opened in sockets:
            opened.bind(("", 0))
        return NODE | {name: opened.getsockname()[1] for name, opened in zip(PORTS, sockets, strict=True)}


def patiently(start: Callable[[], Any], clean_up: Callable[[], None]) -> Any:
    """Return what `start` returns, at its third attempt at the latest: Ray waits at most 30 seconds for a node."""
    for _ in range(2):
        try:
            return start()
        except Exception:  # a TimeoutError, or what the lost connection to a dead process raises
            clean_up()
    return start()


def main() -> None:
    cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=node_options()), lambda: None)

    def remove() -> None:
        for node in list(cluster.worker_nodes):
            cluster.remove_node(node, allow_graceful=False)

    def add() -> None:
        patiently(lambda: cluster.add_node(**node_options()), remove)

    add()
    print(cluster.address, flush=True)
    for line in sys.stdin:
        {"remove": remove, "add": add}[line.strip()]()
        print(line.strip(), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
