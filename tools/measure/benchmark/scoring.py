"""How long networks take for the regions of an image, against the plain way, and what share of the device that uses.

detect-benchmark scoring --device cuda --profile

The networks have random weights, which cost what trained ones do. The plain way is each network as it was trained:
nothing folded or fused, eager, in batches of 64, in the same numbers, or in float32 where those are int8.
"""

from __future__ import annotations

import argparse
import gc
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from classifier.ensemble import Ensemble
from classifier.layers.response_norm import ResponseNorm
from classifier.scoring.execution import EXECUTIONS, Execution, use_execution
from classifier.scoring.weights_file import NetworkDescription, save_weights
from classifier.warp.crop import upload
from detection.runtime.device import Precision, find_device, number_type
from detection.structures.arrays import FloatArray, Image
from tools.command.output_file import prepare_output
from tools.report.json_values import write_json

PLAIN_BATCH_SIZE = 64
WARM_UP_RUNS = 3
HEIGHT, WIDTH = 480, 640
KERNEL_ROWS = 25

KINDS = {
    "copies": "(?i)copy|memcpy|memset|padding|nchwToNhwc|nhwcToNchw|_cat|::cat",
    "pooling": "(?i)max_?pool",
    "normalisation": "_response_norm|::pow|pow_",
    "warp": "^_warp|grid_sampl",
    "products": "(?i)conv|gemm|gemv|xmma|cutlass|nvjet|addmm",
}
"""Kernels by their name, the first that fits; "products" are convolutions and linear layers."""


def build_parser() -> argparse.ArgumentParser:
    """The options of the tool."""
    parser = argparse.ArgumentParser(
        prog="detect-benchmark scoring",
        description="Time the scoring of regions by GoogLeNets.",
    )
    parser.add_argument("--regions", type=int, default=1400)
    parser.add_argument("--networks", type=int, default=6)
    parser.add_argument("--input_size", type=int, default=224, help="pixels")
    parser.add_argument("--context", type=int, default=16, help="pixels of them around a region")
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--width_multiplier", type=float, default=1.0)
    parser.add_argument("--stem_stride", type=int, default=8, choices=(4, 8))
    parser.add_argument("--batch_norm", action="store_true", help="in place of local response normalisation")
    parser.add_argument("--box_regression", action="store_true")
    parser.add_argument("--device", help="cpu, cuda, ...")
    parser.add_argument("--precision", choices=get_args(Precision))
    parser.add_argument("--batch_size", type=int, help="of all but the plain way")
    parser.add_argument("--engines", nargs="*", choices=EXECUTIONS, help="default: the one that is used")
    parser.add_argument("--repeat", type=int, default=10, help="measured runs")
    parser.add_argument("--profile", action="store_true", help="which kernels take the time of each engine")
    parser.add_argument("--json", help="file for all seconds")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    options = build_parser().parse_args(arguments)
    json_file = prepare_output(options.json, suffix=".json") if options.json is not None else None
    device = find_device(options.device)
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        write_json(json_file, measure(save_networks(Path(folder), options), device, options))


def describe(options: argparse.Namespace) -> NetworkDescription:
    """The network that the options ask for."""
    names = ("width_multiplier", "stem_stride", "batch_norm")
    return NetworkDescription(
        class_path="classifier.googlenet.GoogLeNet",
        init_args={name: getattr(options, name) for name in names},
        class_names=tuple(f"class {label}" for label in range(options.classes)),
        input_size=options.input_size,
        context=options.context,
        box_regression=options.box_regression,
    )


def save_networks(folder: Path, options: argparse.Namespace) -> list[str]:
    """Weights files of networks that differ in their random weights."""
    paths = [folder / f"{seed}.safetensors" for seed in range(options.networks)]
    for seed, path in enumerate(paths):
        torch.manual_seed(seed)
        network = describe(options).build_region_network()
        with torch.no_grad():
            cast(nn.Linear, network.trunk.linear).weight *= 10  # or the probabilities would hardly differ
            if options.batch_norm:  # whose statistics int8 goes by
                network.train()(torch.randn(32, 3, options.input_size, options.input_size))
        save_weights(path, network, describe(options))
    return [str(path) for path in paths]


def measure(files: list[str], device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each way; prints a line as soon as it is measured."""
    image, boxes = random_image(options.regions)
    precision = Ensemble(files[:1], device=options.device, precision=options.precision).networks[0].precision
    operations = count_all_operations(options)
    peak = measure_peak(device, number_type(precision))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}, PyTorch {torch.__version__}, {precision}")
    print(f"{options.networks} networks, {options.regions} regions at {options.input_size} px, ", end="")
    print(f"{operations / 1e12:.4g} TFLOP; a matrix product reaches {peak / 1e12:.4g} TFLOP/s")
    print(f"  {'':12} {'median':>10} {'min':>10} {'max':>10} {'speed':>7} {'TFLOP/s':>8} {'of peak':>8}  differs by")
    report: dict[str, Any] = {"device": name, "operations": operations, "peak": peak, "seconds": {}, "failed": {}}
    expected: FloatArray | None = None
    for engine in ["plain", *(options.engines if options.engines is not None else [""])]:
        try:
            seconds, scores = time_engine(engine, files, image, boxes, options)
        except Exception as error:  # the other engines are still to be measured
            report["failed"][engine] = f"{type(error).__name__}: {str(error)[:500]}"
            print(f"  {engine or 'default':12} {report['failed'][engine]}", flush=True)
            continue
        finally:
            gc.collect()
            torch.cuda.empty_cache()
        expected = scores if expected is None else expected
        report["seconds"][engine or "default"] = seconds
        median = statistics.median(seconds)
        ratio = statistics.median(report["seconds"].get("plain", seconds)) / median
        rate = operations / median
        print(
            f"{_row(engine or 'default', seconds)} {ratio:6.2f}x {rate / 1e12:8.4g} {rate / peak:8.1%}  "
            f"{np.abs(scores - expected).max():.1e}",
            flush=True,
        )
    report["warp"] = time_warp(files, image, boxes, options)
    print(_row("of it warp", report["warp"]))
    return report


def random_image(regions: int) -> tuple[Image, FloatArray]:
    """Noise, and boxes [N, 4] within it with sides from 20 pixels to the whole, as often small as large."""
    generator = np.random.default_rng(0)
    image = generator.integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
    limits = np.array([WIDTH, HEIGHT])
    sides = np.exp(generator.uniform(np.log(20), np.log(limits), (regions, 2)))
    corners = generator.uniform(0, limits - sides)
    return image, np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def count_operations(description: NetworkDescription) -> int:
    """Of one network and region, in convolutions and linear layers alone; a multiplication and an addition are two."""
    with torch.device("meta"):
        network = description.build_region_network().eval()
        for parent in list(network.modules()):
            for name, child in parent.named_children():
                if isinstance(child, ResponseNorm):
                    setattr(parent, name, nn.Identity())
        inputs = torch.empty(1, 3, description.input_size, description.input_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs)
    return int(counter.get_total_flops())


def count_all_operations(options: argparse.Namespace) -> int:
    """The same of all networks and regions."""
    operations: int = options.regions * options.networks * count_operations(describe(options))
    return operations


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a product of large square matrices, at its best."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(time_runs(lambda: left @ right, device, 20))


def time_engine(
    engine: str, files: list[str], image: Image, boxes: FloatArray, options: argparse.Namespace
) -> tuple[list[float], FloatArray]:
    """Seconds of each run, and the probabilities; an engine without a name is what `Ensemble` chooses."""
    ensemble = build_ensemble(engine, files, options)
    device = ensemble.networks[0].device
    seconds = time_runs(lambda: ensemble([image], [boxes]), device, options.repeat)
    if options.profile:
        operations = count_all_operations(options)
        print(profile_kernels(lambda: ensemble([image], [boxes]), device, operations), flush=True)
    return seconds, ensemble([image], [boxes])[0].probabilities


def build_ensemble(engine: str, files: list[str], options: argparse.Namespace) -> Ensemble:
    """The networks, as an engine computes them."""
    batch_size = PLAIN_BATCH_SIZE if engine == "plain" else options.batch_size
    precision = "float32" if engine == "plain" and options.precision == "int8" else options.precision
    settings = {"device": options.device, "precision": precision, "batch_size": batch_size}
    if not engine:
        return Ensemble(files, **settings)
    with use_execution(cast(Execution, engine)):
        return Ensemble(files, **settings)


def time_warp(files: list[str], image: Image, boxes: FloatArray, options: argparse.Namespace) -> list[float]:
    """Seconds of each run in which an image is copied to the device and its regions become what networks read."""
    network = build_ensemble("", files[:1], options).networks[0]
    device = network.device
    return time_runs(lambda: network.input_format.warp([upload(image, boxes, device)]), device, options.repeat)


def time_runs(function: Callable[[], Any], device: torch.device, repeat: int) -> list[float]:
    """Seconds of each run, after some that are not measured."""
    seconds = []
    for run in range(-WARM_UP_RUNS, repeat):
        _synchronise(device)
        start = time.perf_counter()
        function()
        _synchronise(device)
        if run >= 0:
            seconds.append(time.perf_counter() - start)
    return seconds


def profile_kernels(function: Callable[[], Any], device: torch.device, operations: int) -> str:
    """What takes most of the time of one run, and what each kind takes: what limits the share of the peak."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU], acc_events=True) as profiler:
        function()
        _synchronise(device)
    times = {
        event.key: (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count)
        for event in profiler.key_averages()
        if (event.device_type.name == "CUDA") == on_gpu
    }
    of_kinds = dict.fromkeys([*KINDS, "other"], 0.0)
    for name, (microseconds, _) in times.items():
        of_kinds[find_kind(name)] += microseconds
    total = sum(of_kinds.values())
    longest = sorted(times.items(), key=lambda item: -item[1][0])[:KERNEL_ROWS]
    lines = [f"  {time / 1e3:8.2f}ms {time / total:6.1%} {count:5} x {name[:150]}" for name, (time, count) in longest]
    lines += [f"  {time / 1e3:8.2f}ms {time / total:6.1%} {kind}" for kind, time in of_kinds.items()]
    rate = operations / max(of_kinds["products"], 1) * 1e6
    return "\n".join([*lines, f"  products alone run at {rate / 1e12:.4g} TFLOP/s"])


def find_kind(kernel: str) -> str:
    """Which of `KINDS` a kernel is of, by its name."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, kernel)), "other")


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(name: str, seconds: Sequence[float]) -> str:
    milliseconds = [1e3 * each for each in (statistics.median(seconds), min(seconds), max(seconds))]
    return f"  {name:12} " + " ".join(f"{each:8.2f}ms" for each in milliseconds)
