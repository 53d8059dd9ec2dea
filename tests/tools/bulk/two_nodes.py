# ruff: noqa: T201  a program that prints
"""A Ray cluster of two nodes on this machine, for tests: `python two_nodes.py` prints its address.

A line "remove" on standard input kills the second node with all of its workers, "add" starts another one, and the end
of the input ends the cluster.
"""

import sys
from collections.abc import Callable
from typing import Any

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}

ATTEMPTS = 20
"""A node aborts if the programs that help it do not start within 15 seconds, which happens on a machine that is busy
with other tests; Ray has no option for this limit. So a node is started again, up to this many times."""


def patiently(start: Callable[[], Any], clean_up: Callable[[], None]) -> Any:
    """Return what `start` returns at the first attempt without an error."""
    for _ in range(ATTEMPTS - 1):
        try:
            return start()
        except Exception:  # a TimeoutError, or what the lost connection to a dead process raises
            clean_up()
    return start()


def main() -> None:
    cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=NODE), lambda: None)

    def remove() -> None:
        for node in list(cluster.worker_nodes):
            cluster.remove_node(node, allow_graceful=False)

    def add() -> None:
        patiently(lambda: cluster.add_node(**NODE), remove)

    add()
    print(cluster.address, flush=True)
    for line in sys.stdin:
        {"remove": remove, "add": add}[line.strip()]()
        print(line.strip(), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
