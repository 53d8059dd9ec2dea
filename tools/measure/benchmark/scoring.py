"""The benchmark of scoring: the regions of an image by each engine, and the share of the device's peak that it reaches.

detect-benchmark scoring --device cuda --profile
detect-benchmark scoring --device cpu --precision int8 --batch_norm --engines eager onnxruntime openvino

The engines take turns, so that other programs slow all of them down; `--processor-time` leaves those out, but adds up
the times of several threads. "first" is the time from the files of the networks to the first scores.

The networks have random weights, which take as long as trained ones. The baseline, "plain", computes each network as it
was trained: in eager mode, without folded or fused layers, in batches of 64, and in the same precision, or in float32
where that is int8.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np
import torch
from jsonargparse import Namespace
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from classifier.ensemble import Ensemble
from classifier.layers.response_norm import ResponseNorm
from classifier.scoring.description import NetworkDescription
from classifier.scoring.execution import EXECUTIONS, Execution
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.score import Cascade, score_regions
from classifier.scoring.weights_file import save_weights
from classifier.warp.crop import upload
from detection.runtime.device import find_device, number_type
from detection.runtime.weights_files.engine import Precision
from detection.structures.arrays import FloatArray, Image
from detection.structures.ranges import require_range
from tools.command.option_parser import OptionParser, as_input_errors
from tools.command.options import Count, Side, add_device_option, real, whole
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.benchmark.baselines.onnx_engines import ONNX_ENGINES, export_networks, load_onnx_networks
from tools.measure.benchmark.timing import HEADER, counting_processor_time, format_row, now, time_run, time_runs
from tools.report.json_values import write_json

ENGINES = (*EXECUTIONS, *ONNX_ENGINES)

PLAIN_BATCH_SIZE = 64
"""The batch size of the baseline."""

WARM_UP_RUNS = 3
"""The number of runs that are not measured."""

HEIGHT, WIDTH = 480, 640
"""The size of the image, in pixels."""

KERNEL_ROWS = 25
"""The number of kernels that `--profile` lists."""


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark scoring", description="Time the scoring of regions by GoogLeNets.")
    parser.add_argument("--regions", type=Count, default=1400, help="number of regions")
    parser.add_argument("--networks", type=whole(1, 1_000), default=6, help="number of networks")
    parser.add_argument("--input_size", type=Side, default=224, help="side of the input, in pixels")
    parser.add_argument("--context", type=whole(0, 10_000), default=16, help="pixels of the input around a region")
    parser.add_argument("--classes", type=whole(1, 100_000), default=200, help="number of classes")
    parser.add_argument("--width_multiplier", type=real(0.01, 100), default=1.0, help="factor on the layers' widths")
    parser.add_argument("--stem_stride", type=int, default=8, choices=(4, 8), help="stride of the first layers")
    parser.add_argument("--batch_norm", action="store_true", help="normalise batches, not local responses")
    parser.add_argument("--box_regression", action="store_true", help="the networks also refine boxes")
    add_device_option(parser)
    parser.add_argument("--precision", choices=get_args(Precision), help="number type; default: the fastest")
    parser.add_argument("--batch_size", type=Count, help="regions in a batch of all engines but the baseline")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, help="engines to time; default: the one in use")
    parser.add_argument("--repeat", type=Count, default=10, help="measured runs")
    parser.add_argument("--profile", action="store_true", help="print which kernels take the time of each engine")
    parser.add_argument("--processor-time", action="store_true", help="count the time of the processor, not of a clock")
    add_output_options(parser, "json")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    (json_file,) = prepare_outputs(parser, options, "json")
    device = find_device(options.device)
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        with as_input_errors("network"):
            files = save_networks(Path(folder), options)
        with counting_processor_time() if options.processor_time else nullcontext():
            report = measure(files, device, options)
    write_json(json_file, report)


def describe(options: Namespace) -> NetworkDescription:
    """Return the description of the network that the options ask for."""
    names = ("width_multiplier", "stem_stride", "batch_norm")
    return NetworkDescription(
        class_path="classifier.googlenet.GoogLeNet",
        init_args={name: getattr(options, name) for name in names},
        class_names=tuple(f"class {label}" for label in range(options.classes)),
        input_size=options.input_size,
        context=options.context,
        box_regression=options.box_regression,
    )


def save_networks(folder: Path, options: Namespace) -> list[str]:
    """Write the weights files of networks with different random weights, and return their paths."""
    require_range(0, (options.input_size - 1) // 2, context=options.context)
    paths = [folder / f"{seed}.safetensors" for seed in range(options.networks)]
    for seed, path in enumerate(paths):
        torch.manual_seed(seed)
        network = describe(options).build_region_network()
        with torch.no_grad():
            cast(nn.Linear, network.trunk.linear).weight *= 10  # or the probabilities would hardly differ
            if options.batch_norm:  # the scales of int8 depend on its statistics
                network.train()(torch.randn(32, 3, options.input_size, options.input_size))
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, options.input_size, options.input_size))  # fails if that is too small
        save_weights(path, network, describe(options))
    return [str(path) for path in paths]


def measure(files: list[str], device: torch.device, options: Namespace) -> dict[str, Any]:
    """Return the report of all engines, and print the row of each as soon as it is measured."""
    image, boxes = random_image(options.regions)
    precision = Ensemble(files[:1], device=options.device, precision=options.precision).networks[0].precision
    operations = options.regions * options.networks * count_operations(describe(options))
    peak = measure_peak(device, number_type(precision))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}, PyTorch {torch.__version__}, {precision}")
    print(f"{options.networks} networks, {options.regions} regions at {options.input_size} px, ", end="")
    print(f"{operations / 1e12:.4g} TFLOP; a matrix product reaches {peak / 1e12:.4g} TFLOP/s")
    print(f"{HEADER} {'speed':>7} {'TFLOP/s':>8} {'of peak':>8} {'first':>8}  differs by")
    report: dict[str, Any] = {"device": name, "operations": operations, "peak": peak}
    report |= {"seconds": {}, "first": {}, "failed": {}}
    engines = ["plain", *(options.engines if options.engines is not None else [""])]
    runs = time_engines(engines, files, Regions(image, boxes), options, report["failed"])
    expected = next((run.scores for run in runs.values()), np.zeros(0, np.float32))
    for engine in engines:
        title = engine or "default"
        if engine not in runs:
            print(f"  {title:12} {report['failed'][title]}")
            continue
        run = runs[engine]
        report["seconds"][title], report["first"][title] = run.seconds, run.first
        median = statistics.median(run.seconds)
        ratio = statistics.median(report["seconds"].get("plain", run.seconds)) / median
        rate = operations / median
        row = format_row(title, run.seconds, milliseconds=True)
        row += f" {ratio:6.2f}x {rate / 1e12:8.4g} {rate / peak:8.1%} {run.first:7.2f}s"
        print(f"{row}  {np.abs(run.scores - expected).max():.1e}", flush=True)
    report["warp"] = time_warp(files, image, boxes, options)
    print(format_row("of it warp", report["warp"], milliseconds=True))
    return report


def random_image(regions: int) -> tuple[Image, FloatArray]:
    """Return an image of noise, and boxes [N, 4] in it whose sides are log-uniform from 20 pixels to the whole."""
    generator = np.random.default_rng(0)
    image = generator.integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
    limits = np.array([WIDTH, HEIGHT])
    sides = np.exp(generator.uniform(np.log(20), np.log(limits), (regions, 2)))
    corners = generator.uniform(0, limits - sides)
    return image, np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def count_operations(description: NetworkDescription) -> int:
    """Count the operations of one network for one region; a multiplication and an addition count as two.

    Only those of convolutions and linear layers are counted.
    """
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


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of a product of large square matrices, in its fastest run."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(time_runs(lambda: left @ right, 20, device, warm_up=WARM_UP_RUNS))


class Regions(NamedTuple):
    """The boxes [N, 4] to score in an image."""

    image: Image
    boxes: FloatArray

    def score(self, networks: Sequence[LoadedNetwork]) -> FloatArray:
        """Return the mean probabilities [N, C + 1] of the networks."""
        (scores,) = score_regions(Cascade(networks), [self.image], [self.boxes])
        return scores.probabilities


class EngineRuns(NamedTuple):
    """The `seconds` of each run of an engine, those from the file to the `first` scores, and the scores [N, C + 1]."""

    seconds: list[float]
    first: float
    scores: FloatArray


def time_engines(
    engines: Sequence[str], files: list[str], regions: Regions, options: Namespace, failed: dict[str, str]
) -> dict[str, EngineRuns]:
    """Return the runs of the engines, which take turns, by name; an engine "" is the one that `Ensemble` chooses.

    If an engine fails, the others are still timed, and `failed` receives its error.
    """
    loaded: dict[str, Sequence[LoadedNetwork]] = {}
    runs: dict[str, EngineRuns] = {}
    for engine in dict.fromkeys(engines):
        with noting_failure(engine, failed):
            own_files = export_networks(files, options.precision) if engine in ONNX_ENGINES else files
            first, (networks, scores) = time_run(partial(score_first, engine, own_files, regions, options))
            for _ in range(WARM_UP_RUNS - 1):
                regions.score(networks)
            loaded[engine], runs[engine] = networks, EngineRuns([], first, scores)
        torch.cuda.empty_cache()
    for _ in range(options.repeat):
        for engine, networks in loaded.items():
            with noting_failure(engine, failed):
                device = networks[0].device
                runs[engine].seconds.append(time_run(partial(regions.score, networks), device)[0])
    if options.profile:
        for networks in loaded.values():
            print(profile_kernels(partial(regions.score, networks), networks[0].device), flush=True)
    return {engine: run for engine, run in runs.items() if (engine or "default") not in failed}


@contextmanager
def noting_failure(engine: str, failed: dict[str, str]) -> Iterator[None]:
    """Keep the error of an engine, as the other engines are still to be timed."""
    try:
        yield
    except Exception as error:
        failed[engine or "default"] = f"{type(error).__name__}: {str(error)[:500]}"


def score_first(
    engine: str, files: list[str], regions: Regions, options: Namespace
) -> tuple[Sequence[LoadedNetwork], FloatArray]:
    """Load the networks of an engine, and return them with their first scores."""
    networks = load_networks(engine, files, options)
    return networks, regions.score(networks)


def load_networks(engine: str, files: list[str], options: Namespace) -> Sequence[LoadedNetwork]:
    """Return the networks of files, which the engine computes."""
    batch_size = PLAIN_BATCH_SIZE if engine == "plain" else options.batch_size
    precision = "float32" if engine == "plain" and options.precision == "int8" else options.precision
    settings = {"device": options.device, "precision": precision, "batch_size": batch_size}
    if not engine:
        return Ensemble(files, **settings).networks
    if engine in ONNX_ENGINES:
        return load_onnx_networks(engine, files, **settings)
    execution = cast(Execution, engine)
    return [LoadedNetwork(file, execution=execution, **settings) for file in files]


def time_warp(files: list[str], image: Image, boxes: FloatArray, options: Namespace) -> list[float]:
    """Return the seconds of each run that copies an image to the device and warps its regions for the networks."""
    network = load_networks("", files[:1], options)[0]
    device = network.device
    return time_runs(
        lambda: network.input_format.warp([upload(image, boxes, device)]), options.repeat, device, warm_up=WARM_UP_RUNS
    )


def profile_kernels(function: Callable[[], Any], device: torch.device) -> str:
    """Return a table of the kernels that take most of the time of one run."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU], acc_events=True) as profiler:
        function()
        now(device)
    column = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    table: str = profiler.key_averages().table(sort_by=column, row_limit=KERNEL_ROWS, max_name_column_width=100)
    return table
