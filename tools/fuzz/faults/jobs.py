"""The jobs that are killed: a command on a small data set, and the part of its output that has to be the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import yaml

from detection.cli import main as detect
from detection.configuration import DEFAULT_CONFIG
from detection.formats.run_results import NAME, read_results
from proposals.cache.index import index_path
from tools.bulk.command import main as detect_in_data_set
from tools.data import propose
from tools.fuzz.faults.job import Job
from tools.fuzz.faults.own_classes_job import make_own_classes_job
from tools.fuzz.inputs.detector_files import WEIGHTS, write_tiny_weights
from tools.measure.evaluate import command as evaluate
from tools.train import train_classifier

CLASSES = ("cat", "cup", "rocket")
PICTURES = 12

NAMES = ("propose", "evaluate", "train", "own-classes", "dataset", "detect")


def make_jobs(folder: Path, names: Sequence[str] = NAMES) -> dict[str, Job]:
    """Write a small data set and a detector into a folder, and return the jobs of these names."""
    data, experiment = folder / "data", folder / "experiment.yaml"
    _write_data(data / "tiny-imagenet-200")
    write_tiny_weights(folder / WEIGHTS)
    experiment.write_text(yaml.safe_dump(_experiment(folder)))
    detector = folder / "detector.yaml"
    detector.write_text(yaml.safe_dump(_detector(folder)))
    options = ["--config", str(experiment), "--data", str(data)]
    photos = str(data / "tiny-imagenet-200" / "val" / "images")

    def proposing(output: Path) -> list[str]:
        return [*options, "--split", "val", "--output", str(output / "val.proposals")]

    def evaluating(output: Path) -> list[str]:
        return ["run", *options, "--results", str(output / "run"), "--resamples", "0"]

    def training(output: Path) -> list[str]:
        last = output / "run" / "last.ckpt"
        more = ["--ckpt_path", str(last)] if last.exists() else []
        return ["fit", *options, "--output", str(output / "run"), *more]

    def detecting(output: Path) -> list[str]:
        outputs = ["--json", str(output / "found.json"), "--coco", str(output / "coco.json")]
        return [photos, "--config", str(detector), "--no-image", "--quiet", "--overwrite", *outputs]

    def detecting_in_data_set(output: Path) -> list[str]:
        options = ["--config", str(detector), "--device", "cpu", "--partition-size", "2"]
        return ["--input", photos, "--output", str(output / "found"), *options]

    def making_own_classes() -> Job:
        return make_own_classes_job(folder, _write_own_data(Path(photos), folder / "own"), _detector(folder)["propose"])

    jobs: dict[str, Callable[[], Job]] = {
        "propose": lambda: Job(propose.main, proposing, _proposals),
        "evaluate": lambda: Job(evaluate.main, evaluating, _results),
        "train": lambda: Job(train_classifier.main, training, _checkpoint),
        "own-classes": making_own_classes,
        "dataset": lambda: Job(detect_in_data_set, detecting_in_data_set, _partitions),
        "detect": lambda: Job(detect, detecting, _detections),
    }
    return {name: jobs[name]() for name in names}


def _write_data(root: Path) -> None:
    """Write pictures in the layout of Tiny ImageNet; the split "train" has the same ones as "val"."""
    random = np.random.default_rng(0)
    wnids = [f"n{number}" for number in range(len(CLASSES))]
    images = root / "val" / "images"
    images.mkdir(parents=True)
    lines = []
    for number in range(PICTURES):
        coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        PIL.Image.fromarray(coarse.repeat(16, axis=0).repeat(16, axis=1)).save(images / f"{number}.png")
        lines.append(f"{number}.png\t{wnids[number % len(wnids)]}\t4\t8\t50\t60\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(wnids))
    (root / "words.txt").write_text("".join(f"{wnid}\t{name}\n" for wnid, name in zip(wnids, CLASSES, strict=True)))


def _write_own_data(photos: Path, folder: Path) -> Path:
    """Write a table with a box in each of the pictures, and copies of them, as `detect-train DATA` reads them."""
    shutil.copytree(photos, folder / "images")
    names = [path.name for path in sorted(photos.iterdir())]
    rows = [f"{name},64,64,{CLASSES[number % len(CLASSES)]},4,8,50,60" for number, name in enumerate(names)]
    (folder / "train.csv").write_text("\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *rows, ""]))
    return folder


def _detector(folder: Path) -> dict[str, Any]:
    classify = {"weights": str(folder / WEIGHTS), "device": "cpu"}
    return {
        "propose": {"class_path": "proposals.selective_search.SelectiveSearch", "init_args": {"width": 100}},
        "classify": {"class_path": "classifier.region_classifier.RegionClassifier", "init_args": classify},
        "score_threshold": 0.0,
    }


def _experiment(folder: Path) -> dict[str, Any]:
    """Return the settings of a small network that is trained for two epochs of six steps."""
    shipped = DEFAULT_CONFIG.parent / "tiny_imagenet" / "tiny_imagenet.yaml"
    settings: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    settings |= {"batch_size": 2, "workers": 0, "output": str(folder / "run"), "input_size": 32, "train_split": "val"}
    settings |= {"checkpoint_steps": 2, "detector": _detector(folder)}
    settings["network"]["init_args"]["width_multiplier"] = 0.125
    settings["trainer"] = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "devices": 1,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return settings


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def _proposals(output: Path) -> str:
    path = output / "val.proposals"
    return _digest(path.read_bytes(), index_path(path).read_bytes())


def _results(output: Path) -> dict[str, str]:
    images = read_results(output / "run" / NAME).images
    return {
        name: _digest(result.detections.boxes.tobytes(), result.detections.scores.tobytes())
        for name, result in images.items()
    }


def _checkpoint(output: Path) -> dict[str, str]:
    state = torch.load(output / "run" / "last.ckpt", weights_only=True)
    values = {name: _digest(value.numpy().tobytes()) for name, value in state["state_dict"].items()}
    return values | {"step": str(state["global_step"])}


def _partitions(output: Path) -> dict[str, str]:
    return {path.name: _digest(path.read_bytes()) for path in (output / "found").iterdir()}


def _detections(output: Path) -> Any:
    records = json.loads((output / "found.json").read_text())
    kept = [{key: value for key, value in record.items() if key != "seconds"} for record in records]
    return kept, json.loads((output / "coco.json").read_text())
