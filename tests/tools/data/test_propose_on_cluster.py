"""Proposals on a Ray cluster: the cache has the bytes that this machine writes alone."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from detection.errors import InputError
from detection.structures.ground_truth import GroundTruth
from proposals.cache.index import index_path
from proposals.cache.reader import ProposalCache
from tests.tools.bulk.cluster_runs import ENVIRONMENT, ROOT
from tests.tools.conftest import fill, message
from tools.data import propose, propose_on_cluster
from tools.data.propose_on_cluster import ProposerSetup, SplitWorker, record_tables
from tools.data.proposed_split import ProposalOutcome

SEARCH = {"class_path": "proposals.selective_search.SelectiveSearch", "init_args": {"width": 100}}


def contents(path: Path) -> tuple[bytes, bytes]:
    return path.read_bytes(), index_path(path).read_bytes()


def propose_here(records: Sequence[GroundTruth], settings: dict[str, Any], _: str | None) -> Iterator[ProposalOutcome]:
    """Yield what a worker makes of the records, in this process."""
    worker = SplitWorker(ProposerSetup.on_this_machine(settings))
    for table in record_tables(records):
        for payload in worker(table)["payload"]:
            yield from pickle.loads(payload.as_py())


@pytest.fixture
def ray_options(search_options: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a run on workers in this process, each of whose tasks has five images."""
    monkeypatch.setattr(propose, "require_ray", lambda: None)
    monkeypatch.setattr(propose, "propose_on_cluster", propose_here)
    monkeypatch.setattr(propose_on_cluster, "IMAGES_PER_TASK", 5)
    return [*search_options, "--engine", "ray"]


def test_workers_make_the_same_file(ray_options: list[str], filled: Path, tmp_path: Path) -> None:
    assert fill(ray_options, tmp_path / "ray.proposals") == 0
    assert contents(tmp_path / "ray.proposals") == contents(filled)


def test_interrupted_run_goes_on(
    ray_options: list[str], filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*arguments: Any) -> Iterator[ProposalOutcome]:
        for number, image in enumerate(propose_here(*arguments)):
            if number == 7:
                raise InputError("cluster: expected it to do the work, got: lost")
            yield image

    with monkeypatch.context() as patch:
        patch.setattr(propose, "propose_on_cluster", lost)
        assert fill(ray_options, tmp_path / "ray.proposals") == 1
    assert contents(tmp_path / "ray.proposals")[1].count(b"\n") == 1 + 7
    assert fill(ray_options, tmp_path / "ray.proposals") == 0
    assert contents(tmp_path / "ray.proposals") == contents(filled)


def test_broken_picture_is_left_out(
    ray_options: list[str], tiny_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(tiny_images, tmp_path / "data")
    broken = data / "tiny-imagenet-200" / "val" / "images" / "3.png"
    broken.write_bytes(b"nonsense")
    messages = []
    for engine in ("local", "ray"):
        options = [*ray_options, "--data", str(data), "--engine", engine]
        assert fill(options, tmp_path / f"{engine}.proposals") == 1
        messages.append(capsys.readouterr().err)
    assert messages[0] == messages[1]
    assert f"{broken}: expected a readable image" in messages[0]
    assert contents(tmp_path / "local.proposals") == contents(tmp_path / "ray.proposals")


@pytest.mark.parametrize("name", ["inception_rcnn", "torch"])
def test_worker_of_another_version(name: str) -> None:
    setup = ProposerSetup.on_this_machine(SEARCH)
    with pytest.raises(InputError, match=f"worker: expected {name} 99.0, as the machine has that leads the run, got "):
        SplitWorker(setup._replace(versions={**setup.versions, name: "99.0"}))


def test_worker_without_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the weights counts from the folder of the command, wherever the worker was started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.safetensors").write_bytes(b"weights")
    settings = {**SEARCH, "init_args": {"width": "net.safetensors"}}
    setup = ProposerSetup.on_this_machine(settings)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="expected the settings of a proposer"):  # past the check of the weights
        SplitWorker(setup)
    (tmp_path / "net.safetensors").write_bytes(b"others")
    with pytest.raises(InputError, match=r"worker: expected net.safetensors [0-9a-f]{8}, as the machine has"):
        SplitWorker(setup)


def test_without_ray(
    search_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert fill(search_options, tmp_path / "out" / "a.proposals", "--engine", "ray") == 1
    expected = "--engine ray: expected the package ray; pip install 'inception-rcnn[ray]'"
    assert message(capsys) == f"detect-propose: {expected}"
    assert not (tmp_path / "out").exists()


def test_images_that_overtake_others_on_a_cluster(search_options: list[str], data: Path, tmp_path: Path) -> None:
    """The first 40 of 80 images are slow, so that workers finish later ones before."""
    pytest.importorskip("ray", reason="needs the package ray: pip install '.[ray]'")
    slow = ["--detector.propose", "tests.tools.bulk.slow_proposer.SlowForRed", "--detector.propose.seconds", "0.05"]
    options = [*search_options, "--data", str(data), *slow]
    first, second = tmp_path / "local.proposals", tmp_path / "ray.proposals"
    assert propose.main([*options, "--split", "train", "--output", str(first)]) == 0
    command = [*options, "--split", "train", "--output", str(second), "--engine", "ray"]
    subprocess.run([sys.executable, "-m", "tools.data.propose", *command], cwd=ROOT, env=ENVIRONMENT, check=True)
    assert len(ProposalCache(second)) == 80
    assert contents(first) == contents(second)
