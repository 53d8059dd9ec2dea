"""The files that a reader has to open to follow one photo from the command `detect` to its boxes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MAX_FILES = 32

CONFIG = """
propose:
  class_path: proposals.merge.MergedProposer
  init_args:
    proposers:
      - class_path: proposals.multibox.MultiBoxProposer
        init_args: {weights: multibox.safetensors, device: cpu}
      - class_path: proposals.selective_search.SelectiveSearch
        init_args: {width: 128}
classify:
  class_path: classifier.ensemble.Ensemble
  init_args:
    members: [tiny_imagenet_lead.safetensors, tiny_imagenet_lead.safetensors]
    cascade_thresholds: [0.1]
    device: cpu
calibrate:
  class_path: detection.calibration.BetaCalibration
  init_args: {a: 1.0, b: 1.0, offset: 0.0, area: 0.1}
"""
"""A small detector of the same stages as the shipped one, of shipped weights."""

RECORD_FILES = """
import json, sys, threading
from detection.cli import command

root, photo, config = sys.argv[1:]
files = set()

def record(frame, event, argument):
    code = frame.f_code
    path = code.co_filename.removeprefix(root)
    if event == "call" and path.startswith(("detection/", "proposals/", "classifier/")) and code.co_name != "<module>":
        files.add(path)

def load_and_record(*arguments, **options):
    detector = load_detector(*arguments, **options)
    detector(photo)  # compiles the loops, whose compilation is not to be recorded
    threading.setprofile(record)
    sys.setprofile(record)
    return detector

load_detector, command.load_detector = command.load_detector, load_and_record
status = command.main([photo, "--config", config, "--no-image", "--quiet"])
sys.setprofile(None)
print(json.dumps([status, sorted(files)]))
"""


def test_one_photo_passes_through_few_files(photo: Path, tmp_path: Path) -> None:
    """Counted are the files of ours in which a function runs after the detector is loaded, on a CPU."""
    config = tmp_path / "detector.yaml"
    config.write_text(CONFIG)
    command = [sys.executable, "-c", RECORD_FILES, f"{ROOT}/", str(photo), str(config)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600).stdout
    status, files = json.loads(output)
    assert status == 0
    assert {"detection/detector.py", "proposals/merge.py", "classifier/ensemble.py"} <= set(files)
    assert len(files) <= MAX_FILES, "\n".join(files)
