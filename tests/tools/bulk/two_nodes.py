# ruff: noqa: T201  a program that prints
"""A Ray cluster of two nodes on this machine, for tests: `python two_nodes.py` prints its address.

A line "remove" on standard input kills the second node with all of its workers, "add" starts another one, and the end
of the input ends the cluster.
"""

import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    node = cluster.add_node(**NODE)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "remove":
            cluster.remove_node(node, allow_graceful=False)
        elif line.strip() == "add":
            node = cluster.add_node(**NODE)
        print(line.strip(), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
