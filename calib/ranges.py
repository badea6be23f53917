"""Range of each tensor of a network on calibration frames, and a JSON file that keeps the ranges with their origin."""

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
"""Names of the methods: minmax keeps every value, the others cut rare large values."""


@dataclass(frozen=True)
class Key:
    """Origin of ranges: ranges are valid for this model, data, method and software only.

    Attributes
    ----------
    model
        SHA-256 of the ONNX file.
    frames
        SHA-256 of the calibration frames.
    method
        One of `METHODS`.
    tools
        Name -> version of the software that ran the network.

    Examples
    --------
    >>> Key("0" * 64, "1" * 64, "minmax", {"onnxruntime": "1.20.0"}).method
    'minmax'
    """

    model: str
    frames: str
    method: str
    tools: dict[str, str]


@dataclass(frozen=True)
class Ranges:
    """Lowest and highest value of each tensor, in the network's own units.

    Attributes
    ----------
    key
        Origin of the ranges.
    tensors
        Name of a tensor -> its lowest and highest value.

    Examples
    --------
    >>> Ranges(Key("", "", "minmax", {}), {"image": (-2.0, 2.0)}).tensors["image"]
    (-2.0, 2.0)
    """

    key: Key
    tensors: dict[str, tuple[float, float]]


def ranges_key(model: Path, samples: Inputs, method: str) -> Key:
    """Return the origin of the ranges that a model has on some inputs.

    Examples
    --------
    >>> ranges_key(Path("edge.onnx"), sample_frames("stills", 32, 0), "minmax")  # doctest: +SKIP
    """
    return Key(sha256_of(model), samples.digest, method, {"onnxruntime": onnxruntime.__version__})


def collect_ranges(path: Path, samples: Inputs, method: str, progress: Callable[[int], None] | None = None) -> Ranges:
    """Run a network on calibration inputs and record the range of each tensor.

    Parameters
    ----------
    path
        An fp32 model that `shls export` wrote.
    samples
        The calibration inputs.
    method
        One of `METHODS`; see `shls.calib.thresholds` for percentile and entropy.
    progress
        Function called with the number of finished network runs: one run per input for minmax, otherwise two.

    Raises
    ------
    BadInput
        If the model cannot be read, the method is unknown, or the inputs or the ranges are degenerate.

    Examples
    --------
    >>> ranges = collect_ranges(Path("edge.onnx"), sample_frames("stills", 32, 0), "percentile")  # doctest: +SKIP
    """
    if method not in METHODS:
        raise BadInput(f"method: unknown (got {method!r}, expected one of {', '.join(METHODS)})")
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
    """Read ranges from a file if the file exists, otherwise collect the ranges and write the file.

    Parameters
    ----------
    path, samples, method, progress
        See `collect_ranges`.
    kept
        JSON file of ranges; None to collect the ranges without a file.

    Raises
    ------
    BadInput, ContractMismatch
        As `collect_ranges` and `load_ranges`.

    Examples
    --------
    >>> kept_ranges(Path("edge.onnx"), samples, "minmax", Path("edge.ranges.json"))  # doctest: +SKIP
    """
    if kept is not None and kept.exists():
        return load_ranges(kept, ranges_key(path, samples, method))
    ranges = collect_ranges(path, samples, method, progress)
    if kept is not None:
        save_ranges(ranges, kept)
    return ranges


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Write ranges as JSON; the file appears whole or not at all.

    Examples
    --------
    >>> import tempfile
    >>> ranges = Ranges(Key("", "", "minmax", {}), {"image": (-2.0, 2.0)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_ranges(ranges, Path(folder, "ranges.json"))
    ...     load_ranges(Path(folder, "ranges.json"), ranges.key) == ranges
    True
    """
    write_json(path, asdict(ranges))


def load_ranges(path: Path, expected: Key) -> Ranges:
    """Read ranges and compare their origin with the expected origin.

    Raises
    ------
    ContractMismatch
        If the ranges belong to another model, other frames, another method or other versions. The message names both
        sides.
    BadInput
        If the file cannot be read.

    Examples
    --------
    >>> load_ranges(Path("ranges.json"), ranges_key(Path("edge.onnx"), samples, "minmax"))  # doctest: +SKIP
    """
    try:
        content = json.loads(path.read_text())
        key = Key(**content["key"])
        tensors = {str(name): (float(low), float(high)) for name, (low, high) in content["tensors"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: cannot be read as ranges ({error}). Delete the file to calibrate anew") from error
    for field in fields(Key):
        theirs, ours = getattr(key, field.name), getattr(expected, field.name)
        if theirs != ours:
            raise ContractMismatch(
                f"{path}: ranges of another {field.name} (got {_short(theirs)}, expected {_short(ours)}). "
                "Delete the file to calibrate anew, or name another file"
            )
    return Ranges(key, tensors)


class _Values:
    """Iterable over the values of all ranged tensors, one dictionary per input; it can be iterated repeatedly."""

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
                f"tensor {name}: unusable range (got {low} to {high}, expected finite values that differ). "
                "Give more and different frames, or check the model"
            )
    return found


def _histograms(values: _Values, extremes: dict[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Count magnitudes without zeros: (BINS,) from 0 to the largest magnitude of each tensor."""
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
