"""Write an ONNX file and keep it only if its outputs match those of its source."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import onnx

from shls.calib.onnx_files import write_model
from shls.runtime._support.files import check_writable
from shls.runtime.errors import ExportFailed
from shls.runtime.models.contract import AnyContract

from .to_fp16 import to_fp16

TOLERANCE = 1e-4
"""Largest acceptable difference between an output of an fp32 file and the same output of its source."""
COSINES = {"fp16": 0.9999, "int8": 0.99}
"""Lowest acceptable mean cosine between the outputs of a file and of its fp32 source, per precision."""


class Closeness(NamedTuple):
    """Agreement between the outputs of a file and of its source.

    Attributes
    ----------
    difference
        Largest absolute difference between two output values.
    cosine
        Mean cosine between the vectors of all cells; for a refiner, between whole outputs.
    over
        Number of frames or crops that were compared.
    to
        Name of the source: torch, or the name of a file.

    Examples
    --------
    >>> Closeness(1e-6, 1.0, 4).to
    'torch'
    """

    difference: float
    cosine: float
    over: int
    to: str = "torch"


@dataclass(frozen=True)
class ExportReport:
    """Result of an export.

    Attributes
    ----------
    path
        The ONNX file.
    megabytes
        Size of the file, MB.
    macs
        Multiply-accumulate operations of one run; for a refiner, of one object.
    near
        Agreement with the source.
    contract
        The contract as written into the file.
    original
        For a model at another input size: agreement of the given ONNX file, at its own size, with the weights that
        were read from it. Otherwise None.
    """

    path: Path
    megabytes: float
    macs: int
    near: Closeness
    contract: AnyContract
    original: Closeness | None = None


def write_compared(
    model: onnx.ModelProto,
    contract: AnyContract,
    out: Path,
    precision: str,
    quantize: Callable[[Path], AnyContract] | None,
    compare: Callable[[Path], Closeness],
) -> ExportReport:
    """Write a graph in a precision and keep the file if its outputs match those of its source.

    Parameters
    ----------
    model, contract
        The graph in fp32, and its contract.
    out, precision, quantize
        See `shls.export.to_onnx.export_onnx`.
    compare
        Function from an ONNX file to its agreement with the source.

    Raises
    ------
    BadInput, ExportFailed
        As `shls.export.to_onnx.export_onnx`.

    Examples
    --------
    >>> write_compared(model, contract, Path("edge.onnx"), "fp32", None, compare).megabytes  # doctest: +SKIP
    4.1
    """
    with place_beside(out) as temporary:
        write_model(model, contract, temporary)
        macs = count_macs(model)
        if precision == "fp16":
            contract = to_fp16(temporary, temporary)
        elif precision == "int8":
            assert quantize is not None
            contract = quantize(temporary)
        near = compare(temporary)
        check_closeness(near, precision, out)
        os.replace(temporary, out)
    return ExportReport(out, out.stat().st_size / 1e6, macs, near, contract)


def check_closeness(near: Closeness, precision: str, path: Path) -> None:
    """Raise ExportFailed if the outputs of a file differ too much from those of its source.

    Examples
    --------
    >>> check_closeness(Closeness(1e-6, 1.0, 4), "fp32", Path("edge.onnx"))
    """
    if precision in COSINES:
        passed, wanted = near.cosine >= COSINES[precision], f"a mean cosine of at least {COSINES[precision]}"
    else:
        passed, wanted = near.difference <= TOLERANCE, f"a difference of at most {TOLERANCE:.0e}"
    if not passed:
        raise ExportFailed(
            f"{path}: its outputs differ from those of {near.to} (got difference {near.difference:.2e} and mean cosine "
            f"{near.cosine:.6f}, expected {wanted} for {precision}). Check the source, or choose another precision"
        )


def count_macs(model: onnx.ModelProto) -> int:
    """Count the multiply-accumulate operations of a model's convolutions; an open batch axis counts as 1.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> macs = count_macs(onnx.load(ASSETS / EXACT))
    >>> 1e9 < macs < 1e11
    True
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*graph.value_info, *graph.output]
    }
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    return sum(
        math.prod(side or 1 for side in shapes[node.output[0]]) * math.prod(weights[node.input[1]][1:])
        for node in graph.node
        if node.op_type == "Conv"
    )


@contextmanager
def place_beside(out: Path) -> Iterator[Path]:
    """Yield a temporary path beside `out`, which the caller renames; raises BadInput if `out` cannot be written.

    The temporary name depends on `out` alone, so that an export removes the temporary file of a killed export.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, place_beside(Path(folder, "edge.onnx")) as temporary:
    ...     temporary.name
    '.edge.part.onnx'
    """
    check_writable(out)
    temporary = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
