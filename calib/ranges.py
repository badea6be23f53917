"""Which range each tensor takes on real frames, and a file that remembers whose ranges they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from shls.runtime._support.files import sha256_of, write_json
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.models.contract import AnyContract

from .graph import Graph, load_float_model
from .samples import Inputs
from .thresholds import BINS, THRESHOLDS

METHODS = ("minmax", *THRESHOLDS)


@dataclass(frozen=True)
class Key:
    """What ranges depend on; they serve nothing else.

    model : SHA-256 of the ONNX file
    frames : SHA-256 of the calibration frames
    method : minmax, entropy or percentile
    tools : name -> version of what ran the network
    """

    model: str
    frames: str
    method: str
    tools: dict[str, str]


@dataclass(frozen=True)
class Ranges:
    """Lowest and highest value per tensor, in the network's own units."""

    key: Key
    tensors: dict[str, tuple[float, float]]


def ranges_key(model: Path, samples: Inputs, method: str) -> Key:
    """The key of the ranges that a model has on some frames."""
    return Key(sha256_of(model), samples.digest, method, {"onnxruntime": onnxruntime.__version__})


def collect_ranges(path: Path, samples: Inputs, method: str, progress: Callable[[int], None] | None = None) -> Ranges:
    """Run the network on the frames and note every tensor's range.

    Parameters
    ----------
    path : an fp32 model that `shls export` wrote
    samples : the frames
    method : minmax keeps every value; percentile and entropy cut rare large ones, see `shls.calib.thresholds`
    progress : called with the number of network runs done, of 1 (minmax) or 2 (others) per frame

    Raises
    ------
    BadInput
        If the model cannot be used, the method is unknown, or the frames or the ranges are degenerate.
    """
    if method not in METHODS:
        raise BadInput(f"method {method!r}; expected one of {', '.join(METHODS)}")
    samples.check()
    model, contract = load_float_model(path)
    values = _Values(model, contract, samples, progress)
    extremes = _extremes(values)
    if method in THRESHOLDS:
        extremes = _cut(extremes, _histograms(values, extremes), method)
    return Ranges(ranges_key(path, samples, method), extremes)


def kept_ranges(
    path: Path,
    samples: Inputs,
    method: str,
    kept: Path | None,
    progress: Callable[[int], None] | None = None,
) -> Ranges:
    """Read the ranges from a file that has them already, or collect them, and keep them there.

    See `collect_ranges` and `load_ranges` for the parameters and the errors.
    """
    if kept is not None and kept.exists():
        return load_ranges(kept, ranges_key(path, samples, method))
    ranges = collect_ranges(path, samples, method, progress)
    if kept is not None:
        save_ranges(ranges, kept)
    return ranges


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Write ranges as JSON, whole."""
    write_json(path, asdict(ranges))


def load_ranges(path: Path, expected: Key) -> Ranges:
    """Read ranges and check whose they are.

    Raises
    ------
    ContractMismatch
        If they belong to another model, other frames, another method or other versions; names both sides.
    BadInput
        If the file cannot be read.
    """
    try:
        content = json.loads(path.read_text())
        key = Key(**content["key"])
        tensors = {str(name): (float(low), float(high)) for name, (low, high) in content["tensors"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: cannot be read as ranges ({error}); delete it to calibrate anew") from error
    for field in fields(Key):
        theirs, ours = getattr(key, field.name), getattr(expected, field.name)
        if theirs != ours:
            raise ContractMismatch(
                f"{path}: ranges of another {field.name}: they were made for {_short(theirs)}, this is "
                f"{_short(ours)}; delete the file to calibrate anew, or name another"
            )
    return Ranges(key, tensors)


class _Values:
    """What every ranged tensor holds, frame after frame; may be iterated over again."""

    def __init__(
        self,
        model: onnx.ModelProto,
        contract: AnyContract,
        samples: Inputs,
        progress: Callable[[int], None] | None,
    ) -> None:
        graph = Graph(model)
        self._contract, self._samples, self._progress, self._done = contract, samples, progress, 0
        self._names = [name for name in dict.fromkeys(graph.ranged()) if name not in graph.inputs]
        known = {output.name for output in model.graph.output}
        model.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in self._names
            if name not in known
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for feeds in self._samples.feeds(self._contract):
            made = self._session.run(self._names, feeds)
            yield feeds | dict(zip(self._names, made, strict=True))
            self._done += 1
            if self._progress:
                self._progress(self._done)


def _extremes(values: _Values) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for tensors in values:
        for name, tensor in tensors.items():
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = min(low, float(tensor.min())), max(high, float(tensor.max()))
    for name, (low, high) in found.items():
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise BadInput(
                f"tensor {name} lies between {low} and {high} on all calibration frames; expected a finite "
                "range that is not empty: give more and different frames, or check the model"
            )
    return found


def _histograms(values: _Values, extremes: dict[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Count magnitudes, (BINS,) from 0 to each tensor's largest."""
    counts = {name: np.zeros(BINS) for name in extremes}
    for tensors in values:
        for name, tensor in tensors.items():
            scale = BINS / max(map(abs, extremes[name]))
            bins = np.minimum(np.abs(tensor.ravel()) * scale, BINS - 1).astype(np.int32)
            counts[name] += np.bincount(bins[tensor.ravel() != 0], minlength=BINS)
    return counts


def _cut(
    extremes: dict[str, tuple[float, float]], histograms: dict[str, np.ndarray], method: str
) -> dict[str, tuple[float, float]]:
    cut = {}
    for name, (low, high) in extremes.items():
        bound = THRESHOLDS[method](histograms[name]) / BINS * max(-low, high)
        cut[name] = max(low, -bound), min(high, bound)
    return cut


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else str(value)
