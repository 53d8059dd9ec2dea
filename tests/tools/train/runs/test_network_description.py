from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from jsonargparse import Namespace

from tools.train.runs.classifier_run import ClassifierRun


def test_a_network_without_arguments_is_described() -> None:
    run = ClassifierRun.__new__(ClassifierRun)
    network = Namespace(class_path="classifier.googlenet.GoogLeNet")  # type: ignore[no-untyped-call]
    settings: Any = SimpleNamespace(network=network, input_size=224, context=0, box_regression=False, box_grid=None)
    built: Any = SimpleNamespace(dataset=SimpleNamespace(class_names=("cat",)), task=SimpleNamespace(background=True))
    run.settings, run.built = settings, built
    assert run.describe().init_args == {}
