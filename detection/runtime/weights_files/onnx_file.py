"""Reads ONNX files that `detect-export` has written, and computes their networks by ONNX Runtime.

The metadata of a file hold the same description as those of a safetensors file, and an `OnnxInput` beside it. This
module does not import PyTorch. It imports ONNX Runtime, which is optional, only where a file is read.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from detection.errors import InputError, is_out_of_memory, shorten
from detection.structures.arrays import FloatArray

Built = TypeVar("Built")
Shape = tuple[int | None, ...]

INPUT_NAME = "images"

INPUT_KEY = "input"
"""The name of the `OnnxInput` in the metadata of a file."""

WEIGHTS_KEY = "weights"
"""The name in the metadata of the safetensors file from which an ONNX file reads weights: JSON with file and sha256."""

NUMBER_TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
"""The types of images that a network may read: the names of ONNX Runtime, and those of NumPy."""

REMEDY = "write it again with detect-export, or install a newer onnxruntime"

WRONG_SHAPE = "Got invalid dimensions for input"
"""The error of ONNX Runtime about an input of another shape than the network reads."""

SOURCE_POSITION = re.compile(r"^(\[ONNXRuntimeError\] : \d+ : \w+ : )?(/\S+:\d+ .*?\)\s+(?=[A-Z]))?")
"""The beginning of an error of ONNX Runtime, which names its own source code."""


@dataclass(frozen=True)
class OnnxInput:
    """The number format in which the network of an ONNX file computes, and that of its input.

    Attributes:
        precision: the number type in which convolutions are computed.
        quantisation: the scale, in pixel values of 0-255, and the zero point of the bytes that the network reads; None
            if it reads float32.
    """

    precision: Literal["float32", "int8"]
    quantisation: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "int8"):
            raise ValueError(f"precision must be float32 or int8, got {self.precision}")


class Interface(NamedTuple):
    """The types and shapes of the input and the outputs of a network. A side that is None may have any length."""

    number_type: str
    input_shape: Shape
    output_shapes: Mapping[str, Shape]


class OnnxNetwork:
    """The network of an ONNX file, which is computed on the CPU. It can be copied and sent to other processes.

    Args:
        path: the file.
        threads: the number of threads that will compute it, unless `run` is given another one.

    Attributes:
        metadata: the texts in the metadata of the file, by name.
        interface: what the network reads and returns.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no network that ONNX Runtime can compute.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        self._path = path
        self._model = path.read_bytes()
        self._folder = str(path.absolute().parent)
        self._sessions: dict[tuple[int, int], Any] = {}
        self._lock = Lock()
        try:
            session = self._session(threads)
            self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
            (image,) = session.get_inputs()
        except Exception as error:  # ONNX Runtime's errors have no type in common
            raise ValueError(_reason(error)) from None
        outputs = {output.name: _shape(output.shape) for output in session.get_outputs()}
        self.interface = Interface(NUMBER_TYPES.get(image.type, image.type), _shape(image.shape), outputs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_sessions", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _sessions={}, _lock=Lock())

    def require(self, expected: Interface) -> None:
        """Check that the network reads and returns what is expected.

        Raises:
            ValueError: naming the first difference.
        """
        number_type, input_shape, outputs = self.interface
        if number_type != expected.number_type or not _fit(input_shape, expected.input_shape):
            shapes = f"{expected.number_type} {list(expected.input_shape)}, got {number_type} {list(input_shape)}"
            raise ValueError(f"expected images of {shapes}")
        if list(outputs) != list(expected.output_shapes):
            raise ValueError(f"expected outputs {', '.join(expected.output_shapes)}, got {', '.join(outputs)}")
        for name, shape in expected.output_shapes.items():
            if not _fit(outputs[name], shape):
                raise ValueError(f"expected {name} of {list(shape)}, got {list(outputs[name])}")

    def run(self, images: NDArray[Any], *, threads: int) -> list[FloatArray]:
        """Return the outputs of the network for images [B, 3, S, S], computed by this number of threads.

        Raises:
            RuntimeError: if the memory is too small, or the images have another shape than the network reads.
            InputError: naming the file, if its network cannot be computed.
        """
        try:
            outputs = self._session(threads).run(None, {INPUT_NAME: np.ascontiguousarray(images)})
        except Exception as error:
            failure = RuntimeError(_reason(error))
            # `require` has compared the shapes in the file, so a wrong one is a fault of the caller.
            if is_out_of_memory(failure) or WRONG_SHAPE in str(failure):
                raise failure from error
            raise InputError(
                f"{self._path}: expected a network that ONNX Runtime can compute, got: {failure}; {REMEDY}"
            ) from error
        return [np.asarray(output, np.float32) for output in outputs]

    def _session(self, threads: int) -> Any:
        """Return the network in ONNX Runtime; a process that was forked has to start threads of its own."""
        key = (os.getpid(), threads)
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = _open_session(self._model, self._folder, threads=threads)
            return self._sessions[key]


def read_onnx(
    path: Path,
    build: Callable[[dict[str, Any], OnnxInput, OnnxNetwork], Built],
    *,
    key: str,
    content: str,
    threads: int,
    in_place_of: Path | None = None,
) -> Built:
    """Read an ONNX file, and return what `build` makes of its description, its input and its network.

    Args:
        path: a file that `detect-export` has written.
        build: a function that raises `ValueError`, `TypeError` or `KeyError` if its arguments do not fit each other.
        key: the name of the description in the metadata.
        content: the expected kind of network for error messages, such as "a region classifier".
        threads: the number of threads that will compute the network.
        in_place_of: the safetensors file that the user named, in whose place the ONNX file is read; None if the user
            named the ONNX file.

    Raises:
        InputError: naming the file, if it is missing, broken, of another kind or unsupported, if `build` raised an
            error, if ONNX Runtime is not installed, or if the file does not read the weights `in_place_of`.
    """
    if not os.path.isfile(path):  # noqa: PTH113  also for names that no file can have
        raise InputError(f"{path}: no such weights file; expected an ONNX file of {content}")
    if find_spec("onnxruntime") is None:
        raise InputError(f"{path}: expected ONNX Runtime to compute it with; pip install onnxruntime")
    try:
        network = OnnxNetwork(path, threads=threads)
    except OSError as error:
        raise InputError(f"{path}: expected an ONNX file of {content}, cannot read it: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: expected an ONNX file that ONNX Runtime can read, got: {error}; {REMEDY}") from None
    if key not in network.metadata or INPUT_KEY not in network.metadata:
        raise InputError(
            f"{path}: expected an ONNX file of {content} that detect-export has written, found no '{key}' in its "
            "metadata"
        )
    try:
        _require_weights(path, network.metadata.get(WEIGHTS_KEY), in_place_of)
        description, settings = (json.loads(network.metadata[name]) for name in (key, INPUT_KEY))
        quantisation = settings.pop("quantisation")
        onnx_input = OnnxInput(**settings, quantisation=None if quantisation is None else tuple(quantisation))
        return build(description, onnx_input, network)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected an ONNX file that fits its description: {reason}") from None


def _require_weights(path: Path, described: str | None, in_place_of: Path | None) -> None:
    """Check that the safetensors file from which an ONNX file reads weights is still the one that it was made for.

    An ONNX file with weights of its own says nothing about the safetensors file beside it, which may have been trained
    since then, so it cannot take its place.
    """
    if described is None:
        if in_place_of is not None:
            raise InputError(
                f"{path}: expected an ONNX file that reads the weights in {in_place_of.name}, got one with weights of "
                "its own; name it in the configuration, or write it with detect-export --beside"
            )
        return
    weights = json.loads(described)
    if not isinstance(weights["file"], str) or os.path.basename(weights["file"]) != weights["file"]:  # noqa: PTH119
        raise ValueError(f"expected the name of a file beside it, got {weights['file']!r}")
    file = path.parent / weights["file"]
    if hashlib.sha256(file.read_bytes()).hexdigest() != weights["sha256"]:
        remedy = "write the ONNX file again with detect-export --beside"
        raise InputError(f"{path}: expected the file {file.name} for which it was made, got another; {remedy}")


def _open_session(model: bytes, folder: str, *, threads: int) -> Any:
    import onnxruntime  # noqa: PLC0415  optional

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # no messages, because it raises its errors as well
    # Threads that wait for work must not take the time of other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The folder of the weights that are not in the model itself.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    # With the fallback, it would print messages of its own about a damaged file.
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def _shape(sides: Sequence[int | str | None]) -> Shape:
    return tuple(side if isinstance(side, int) else None for side in sides)


def _fit(shape: Shape, expected: Shape) -> bool:
    """Return True if a shape has the expected sides, where None fits any length, and takes batches of any length."""
    sides = list(zip(shape, expected, strict=False))
    return len(shape) == len(expected) and shape[0] is None and all(None in pair or len({*pair}) == 1 for pair in sides)


def _reason(error: Exception) -> str:
    return shorten(SOURCE_POSITION.sub("", " ".join(str(error).split())).rstrip("."))
