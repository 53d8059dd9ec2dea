"""Tests of the command that makes the first weights of a region classifier from a network of other classes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import load_weights, save_weights
from detection.configuration import find_config
from detection.datasets.category_kinds import read_kinds_by_index
from detection.errors import InputError
from tools.train import start_from_classes
from tools.train.import_caffe import CLASS_NAMES
from tools.train.start_from_classes import BACKGROUND_BIAS, ROW_SCALE, mean_rows

NAMES = ("person", "dog", "zebra")
CONFIG = find_config("coco_to_imagenet.tsv")
SOURCE = NetworkDescription(
    "classifier.googlenet.GoogLeNet",
    {"batch_norm": True, "width_multiplier": 0.125},
    tuple("abcde"),
    input_size=32,
    context=0,
    background=False,
)


@pytest.fixture(name="kinds_file")
def written_kinds(tmp_path: Path) -> Path:
    path = tmp_path / "kinds.tsv"
    path.write_text("# dogs are many\ncategory\tindices\n\ndog\t1-2, 4\nzebra\t0\n")
    return path


def test_indices_and_ranges(kinds_file: Path) -> None:
    assert read_kinds_by_index(kinds_file, NAMES, outputs=5) == {1: [1, 2, 4], 2: [0]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cat\t1", "kinds.tsv:5: expected each class of the data set once, got 'cat'"),
        ("dog\t1", "kinds.tsv:5: expected each class of the data set once, got 'dog'"),
        ("person\t5", "kinds.tsv:5: expected indices from 0 to 4, rising, got '5'"),
        ("person\t3-2", "expected indices from 0 to 4, rising, got '3-2'"),
        ("person\tone", "expected an index such as 7, or a range such as 7-24, got 'one'"),
        ("person", "expected an index such as 7, or a range such as 7-24, got ''"),
    ],
)
def test_malformed_line(kinds_file: Path, line: str, message: str) -> None:
    content = kinds_file.read_text().splitlines()
    kinds_file.write_text("\n".join([*content[:4], line]) + "\n")
    with pytest.raises(InputError, match=message):
        read_kinds_by_index(kinds_file, NAMES, outputs=5)


def test_missing_header(kinds_file: Path) -> None:
    kinds_file.write_text("dog\t1\n")
    with pytest.raises(InputError, match="expected the header"):
        read_kinds_by_index(kinds_file, NAMES, outputs=5)


def test_rows_are_means_less_that_of_all() -> None:
    rows = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 9.0]])
    expected = [[0, 0], [0, 0], [1, 1.5], [-2, -3]]
    assert mean_rows(rows, {1: [1, 2], 2: [0]}, count=3).tolist() == expected


@pytest.fixture(name="arguments")
def arguments_for_a_small_source(kinds_file: Path, tmp_path: Path) -> list[str]:
    """The arguments of the command, for a source of the classes a to e, and the classes of a data set."""
    torch.manual_seed(0)
    save_weights(tmp_path / "source.safetensors", SOURCE.build(), SOURCE)
    (tmp_path / "train.json").write_text(
        json.dumps(
            {"images": [], "annotations": [], "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)]}
        )
    )
    options = ["--source", str(tmp_path / "source.safetensors"), "--classes", str(kinds_file)]
    reader = ["--dataset", "detection.datasets.COCO", "--dataset.init_args.annotations", "{split}.json"]
    return [*options, *reader, "--data", str(tmp_path), "--weights", str(tmp_path / "start.safetensors")]


def test_writes_a_network_of_regions(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class with one kind has the scaled score of this kind."""
    target = tmp_path / "start.safetensors"
    assert start_from_classes.main([*arguments, "--context", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"{target}: ")
    network, written = load_weights(target)
    assert (written.class_names, written.background, written.context) == (NAMES, True, 2)
    with torch.inference_mode():
        images = torch.randn(2, 3, 32, 32)
        before = load_weights(tmp_path / "source.safetensors")[0](images)
        after = network(images)
    expected = ROW_SCALE * (before[:, 0] - before.mean(dim=1))
    torch.testing.assert_close(after[:, 3], expected, atol=1e-2, rtol=0)
    assert after[:, 0].tolist() == [BACKGROUND_BIAS] * 2
    assert after[:, 1].tolist() == [0.0, 0.0]


def test_a_source_with_svms(arguments: list[str], tmp_path: Path) -> None:
    description = replace(SOURCE, background=True, head="svm")
    save_weights(tmp_path / "source.safetensors", description.build(), description)
    assert start_from_classes.main(arguments) == 0
    assert load_weights(tmp_path / "start.safetensors")[1].head == "softmax"


def test_context_without_room_for_a_box(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert start_from_classes.main([*arguments, "--context", "16"]) == 1
    expected = "context must be at least 0 and less than half of input_size 32, got 16"
    assert capsys.readouterr().err == f"detect-start-from-classes: --context: expected a valid value: {expected}\n"


def test_shipped_file_lists_kinds_of_the_categories() -> None:
    """The names of the listed classes, for categories whose kinds can be told by their names."""
    lines = [line for line in CONFIG.read_text().splitlines() if not line.startswith("#")]
    names = [line.split("\t")[0] for line in lines[1:]]
    kinds = read_kinds_by_index(CONFIG, names, outputs=1000)
    listed = {name: [CLASS_NAMES[index] for index in kinds[label]] for label, name in enumerate(names)}
    assert listed["zebra"] == ["zebra"]
    assert listed["cat"] == ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]
    assert listed["pizza"] == ["pizza"]
    assert len(listed["dog"]) == 118
