"""Checkpoint -> ONNX with the contract inside, compared with torch before it is kept."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from shls.runtime._support.files import check_writable
from shls.runtime.errors import BadInput, ExportFailed
from shls.runtime.evaluation.similarity import cell_cosines
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.contract import ONNX_OPSET, AnyContract, Contract
from shls_train.engine.checkpoint import load_checkpoint, restore_network
from shls_train.models.edge import Embedding
from shls_train.models.folding import fold_batch_norm, weights_digest

from .model_file import write_model
from .onnx_export import trace
from .to_fp16 import to_fp16

TOLERANCE = 1e-4
MOST_SIDE = 4096
"""Of the network's input: one run of a larger one takes tens of gigabytes."""
COSINES = {"fp16": 0.9999, "int8": 0.99}
"""Least mean cosine to fp32 of what is rounded."""


class Closeness(NamedTuple):
    """A file against what it was made of.

    difference : largest absolute one, over all that was compared
    cosine : mean over all cells; of a refiner, between whole outputs
    over : how many frames, or crops, were compared
    to : torch, or the file that it was made of
    """

    difference: float
    cosine: float
    over: int
    to: str = "torch"


@dataclass(frozen=True)
class ExportReport:
    """What was built.

    path : the ONNX file
    megabytes : its size
    macs : multiplications with addition of one run; of a refiner, for one object
    near : to what it was made of
    contract : as written into the file
    """

    path: Path
    megabytes: float
    macs: int
    near: Closeness
    contract: AnyContract


def export_onnx(
    checkpoint: Path,
    out: Path,
    height: int,
    width: int,
    frames: list[np.ndarray],
    precision: str = "fp32",
    quantize: Callable[[Path], AnyContract] | None = None,
) -> ExportReport:
    """Write the network of a checkpoint as ONNX (opset 18, fixed shapes).

    Parameters
    ----------
    checkpoint : path
        A checkpoint file or a training folder.
    out : path
        The ONNX file to write; it appears whole or not at all.
    height, width : int
        Of the network's input in pixels, multiples of the network's `size_multiple`, at most `MOST_SIDE`.
    frames : list of (H, W, 3) uint8 RGB
        Real frames on which ONNX and torch are compared.
    precision : fp32, fp16 or int8
    quantize : callable
        For int8: turns the fp32 file into an INT8 one in its place and returns its contract; `shls.calib` can.

    Raises
    ------
    BadInput
        If the size does not fit the network, the checkpoint cannot be read or the file not be written.
    ExportFailed
        If any output differs from torch by more than 1e-4; or, in fp16 and int8, if the mean cosine is below
        `COSINES`.
    """
    loaded = load_checkpoint(checkpoint)
    network = fold_batch_norm(restore_network(loaded, Embedding))
    head, multiple = network.fold_head(), network.size_multiple
    if height % multiple or width % multiple or min(height, width) < multiple:
        raise BadInput(f"size {width}x{height}: both must be multiples of {multiple}, as in 864x480")
    if max(height, width) > MOST_SIDE:
        raise BadInput(f"size {width}x{height}: expected at most {MOST_SIDE} pixels a side, as in 864x480")
    contract = Contract(
        network=str(loaded.meta["network"]),
        height=height,
        width=width,
        dim=network.dim,
        stride=network.stride,
        memory=network.memory,
        head=head,
        checkpoint_sha256=weights_digest(network),
        opset=ONNX_OPSET,
        tools={"torch": torch.__version__, "onnx": onnx.__version__},
    )
    model = trace(network, (torch.zeros(1, 3, height, width),), [contract.input], contract.output)
    return write_compared(
        model, contract, out, precision, quantize, lambda path: _compare(network, contract, path, frames)
    )


def write_compared(
    model: onnx.ModelProto,
    contract: AnyContract,
    out: Path,
    precision: str,
    quantize: Callable[[Path], AnyContract] | None,
    compare: Callable[[Path], Closeness],
) -> ExportReport:
    """Write a graph in a precision, and keep the file if it still computes what it did.

    Parameters
    ----------
    model, contract : in fp32
    out, precision, quantize : see `export_onnx`
    compare : says how near a file is to what it is made of

    Raises
    ------
    BadInput, ExportFailed
        As `export_onnx`.
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
        if not (near.cosine >= COSINES[precision] if precision in COSINES else near.difference <= TOLERANCE):
            wanted = (
                f"a cosine of at least {COSINES[precision]}" if precision in COSINES else f"at most {TOLERANCE:.0e}"
            )
            raise ExportFailed(
                f"{out}: differs from {near.to} by {near.difference:.2e}, cosine {near.cosine:.6f}; "
                f"{precision} is to keep {wanted}"
            )
        os.replace(temporary, out)
    return ExportReport(out, out.stat().st_size / 1e6, macs, near, contract)


def count_macs(model: onnx.ModelProto) -> int:
    """Multiplications with addition in a model's convolutions; of one object, where their number is not fixed."""
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


def _compare(network: nn.Module, contract: Contract, path: Path, frames: list[np.ndarray]) -> Closeness:
    """To torch, over frames."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst, cosines = 0.0, []
    for frame in frames:
        tensor = to_input(frame, contract)
        with torch.inference_mode():
            expected = network(torch.from_numpy(tensor)).numpy()
        (actual,) = session.run([contract.output], {contract.input: tensor})
        worst = max(worst, float(np.abs(actual - expected).max()))
        cosines.append(cell_cosines(actual, expected).mean())
    return Closeness(worst, float(np.mean(cosines)), len(frames))


@contextmanager
def place_beside(out: Path) -> Iterator[Path]:
    """Where the file is made, so that it can be renamed into its place; raises BadInput where that cannot be.

    What a killed export leaves there, the next one takes away.
    """
    check_writable(out)
    temporary = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
