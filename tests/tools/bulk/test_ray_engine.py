"""The engine on Ray: its rows are those of the local engine, whatever is killed while it works."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from detection.errors import InputError
from detection.formats.dataset_results.partition import ImageRow
from tests.tools.bulk.cluster_runs import finished, same_files, start, two_nodes, wait_for_partition
from tests.tools.bulk.conftest import COLUMNS, RefusingStore, write_folder, write_tar
from tools.bulk import command
from tools.bulk.inputs.listing import list_items
from tools.bulk.local_engine import detect_locally
from tools.bulk.plan import DetectorChoice, Plan
from tools.bulk.ray_engine import ClusterOptions, connected, group_tables, naming_failures
from tools.bulk.ray_workers import ProposingWorker, ScoringWorker, WorkerSetup


@pytest.fixture
def choice(detector_config: Path) -> DetectorChoice:
    return DetectorChoice(str(detector_config), {"max_detections": 20}, "cpu")


def rows_of_workers(plan: Plan, partitions: Sequence[int], setup: WorkerSetup) -> list[tuple[int, int, ImageRow]]:
    """Return what the workers make of the groups, in this process."""
    proposing, scoring = ProposingWorker(setup), ScoringWorker(setup)
    rows = []
    for scored in (scoring(proposed) for table in group_tables(plan, partitions) for proposed in proposing(table)):
        columns = (scored[name].to_pylist() for name in ("partition", "first", "payload"))
        for number, first, payload in zip(*columns, strict=True):
            rows += [(number, place, row) for place, row in enumerate(pickle.loads(payload), first)]
    return rows


def test_workers_make_the_rows_of_the_local_engine(
    choice: DetectorChoice, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    write_folder(tmp_path / "data", pictures | {"1b.png": b"nonsense"})
    write_tar(tmp_path / "data" / "shard.tar", {f"{name} in a tar.png": content for name, content in pictures.items()})
    plan = Plan(list_items([str(tmp_path / "data")], COLUMNS), COLUMNS, 6, choice)
    assert plan.partitions == 3
    local = list(detect_locally(plan, [0, 2], choice.load()))
    remote = rows_of_workers(plan, [0, 2], WorkerSetup(choice, choice.versions, COLUMNS))
    assert [row[:2] for row in remote] == [(0, place) for place in range(6)] + [(2, place) for place in range(3)]
    for (_, _, local_row), (_, _, remote_row) in zip(local, remote, strict=True):
        assert (local_row.key, local_row.size, local_row.error) == (remote_row.key, remote_row.size, remote_row.error)
        for name in ("boxes", "scores", "labels"):
            np.testing.assert_array_equal(getattr(local_row, name), getattr(remote_row, name))


@pytest.mark.parametrize("name", ["inception_rcnn", "torch", "onnxruntime", "detector"])
@pytest.mark.parametrize("worker", [ProposingWorker, ScoringWorker])
def test_worker_of_another_version(name: str, worker: type, choice: DetectorChoice) -> None:
    setup = WorkerSetup(choice, choice.versions | {name: "99.0"}, COLUMNS)
    with pytest.raises(InputError, match=f"worker: expected {name} 99.0, as the machine has that leads the run, got "):
        worker(setup)


def test_worker_whose_store_does_not_answer(choice: DetectorChoice, refusing: type[RefusingStore]) -> None:
    plan = Plan(list_items(["refusing://photos"], COLUMNS), COLUMNS, 100, choice)
    refusing.failures.extend([ConnectionError("reset")] * 3)
    with pytest.raises(InputError, match=r"refusing:///photos/0.png: expected the store to answer, got: reset"):
        rows_of_workers(plan, [0], WorkerSetup(choice, choice.versions, COLUMNS))


class LostClusterError(Exception):
    """Stands for the errors of Ray, whose texts have the tracebacks of the workers."""


FAILING_RAY = SimpleNamespace(exceptions=SimpleNamespace(RayError=LostClusterError))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "ray::MapWorker.submit()\n  File x.py, line 1\ndetection.errors.InputError: worker: expected a, got b",
            "worker: expected a, got b",
        ),
        ("The actor died\nunexpectedly.", "cluster: expected it to do the work, got: The actor died unexpectedly."),
    ],
)
def test_failure_of_a_worker_is_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError) as caught, naming_failures(FAILING_RAY):
        raise LostClusterError(text)
    assert caught.value.line == line


def test_cluster_that_is_not_there() -> None:
    def init(**_: object) -> None:
        raise ConnectionError("Failed to connect\nto GCS")

    reason = "--address 192.0.2.1:6379: expected a Ray cluster, got: Failed to connect to GCS"
    with (
        pytest.raises(InputError, match=re.escape(reason)),
        connected(SimpleNamespace(init=init), ClusterOptions("192.0.2.1:6379")),
    ):
        pass


def test_two_nodes_of_which_one_is_killed_and_a_driver_too(
    pictures: dict[str, bytes], tiny_weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs the package ray: pip install '.[ray]'")
    content = {f"{copy}/{name}": data for copy in range(3) for name, data in pictures.items()} | {
        "bad.png": b"nonsense"
    }
    settings = {
        "propose": {"class_path": "tests.tools.bulk.slow_proposer.SlowProposer", "init_args": {"seconds": 0.3}},
        "classify": {
            "class_path": "classifier.region_classifier.RegionClassifier",
            "init_args": {"weights": str(tiny_weights), "device": "cpu"},
        },
        "score_threshold": 0.0,
    }
    (tmp_path / "detector.yaml").write_text(yaml.safe_dump(settings))
    options = ["--input", write_folder(tmp_path / "data", content), "--config", str(tmp_path / "detector.yaml")]
    options += ["--partition-size", "2"]
    assert command.main([*options, "--output", str(tmp_path / "local")]) == 1
    with two_nodes() as cluster:
        options += ["--engine", "ray", "--address", cluster.address, "--workers", "2"]
        first = start(options, tmp_path / "ray")
        wait_for_partition(tmp_path / "ray", first)
        first.kill()
        first.communicate()
        assert 0 < finished(tmp_path / "ray") < 11
        second = start(options, tmp_path / "ray")
        wait_for_partition(tmp_path / "ray", second)
        cluster.replace_node()
        _, err = second.communicate()
    assert second.returncode == 1
    assert "1 image has an error" in err
    assert same_files(tmp_path / "local", tmp_path / "ray")
