"""Export an embedding as ONNX with its contract inside, and compare the file with torch before it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

import shls
from shls.runtime.errors import BadInput
from shls.runtime.evaluation.similarity import cell_cosines
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.contract import ONNX_OPSET, AnyContract, Contract
from shls.runtime.models.onnx_reader import read_contract
from shls.runtime.models.settings import Settings
from shls_train.engine.checkpoint import load_checkpoint, restore_network
from shls_train.models.edge import Embedding
from shls_train.models.folding import fold_batch_norm, weights_digest

from .comparison import Closeness, ExportReport, check_closeness, write_compared
from .from_onnx import read_embedding
from .onnx_export import trace

MOST_SIDE = 4096
"""Largest side of the network's input, pixels: one run of a larger input takes tens of gigabytes."""


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
    checkpoint
        A checkpoint file or a training folder.
    out
        ONNX file to write; it appears whole or not at all.
    height, width
        Size of the network's input in pixels: multiples of the network's `size_multiple`, at most `MOST_SIDE`.
    frames
        Real frames on which ONNX and torch are compared, each (H, W, 3) uint8 RGB.
    precision
        One of fp32, fp16 and int8.
    quantize
        For int8: function that replaces an fp32 file by an INT8 file and returns the new contract; see
        `shls.calib.quantize.quantize`.

    Raises
    ------
    BadInput
        If the size does not fit the network, the checkpoint cannot be read or the file cannot be written.
    ExportFailed
        If an output of fp32 differs from torch by more than 1e-4, or if the mean cosine of fp16 or int8 is below
        `shls.export.comparison.COSINES`.

    Examples
    --------
    >>> export_onnx(Path("runs/edge"), Path("edge.onnx"), 480, 864, frames).near.difference  # doctest: +SKIP
    2.1e-06
    """
    loaded = load_checkpoint(checkpoint)
    network = fold_batch_norm(restore_network(loaded, Embedding))
    head = network.fold_head()
    contract = Contract(
        network=str(loaded.meta["network"]),
        height=height,
        width=width,
        dim=network.dim,
        stride=network.stride,
        settings=Settings(memory=network.memory),
        head=head,
        checkpoint_sha256=weights_digest(network),
        opset=ONNX_OPSET,
        tools=_tools(),
    )
    return _write(network, contract, out, frames, precision, quantize)


def resize_onnx(
    source: Path,
    out: Path,
    height: int,
    width: int,
    frames: list[np.ndarray],
    precision: str = "fp32",
    quantize: Callable[[Path], AnyContract] | None = None,
) -> ExportReport:
    """Write the embedding of an fp32 ONNX file at another input size; no checkpoint is needed.

    The weights are read from the file into torch. The given file is compared with torch at its own size, and the new
    file at the new size. Settings and digest of the contract stay the same.

    Parameters
    ----------
    source
        An fp32 model that `shls export` wrote, such as a shipped model.
    out, height, width, frames, precision, quantize
        See `export_onnx`.

    Raises
    ------
    BadInput, ContractMismatch, ExportFailed
        As `export_onnx` and `shls.export.from_onnx.read_embedding`.

    Examples
    --------
    >>> resize_onnx(Path("shls-edge.onnx"), Path("portrait.onnx"), 864, 480, frames).contract.width  # doctest: +SKIP
    480
    """
    contract, network = read_contract(source), read_embedding(source)
    check_size(network, height, width)
    original = _compare(network, contract, source, frames)
    check_closeness(original, contract.precision, source)
    resized = replace(contract, height=height, width=width, tools=contract.tools | _tools())
    return replace(_write(network, resized, out, frames, precision, quantize), original=original)


def check_size(network: Embedding, height: int, width: int) -> None:
    """Raise BadInput if a network cannot take inputs of a size, in pixels.

    Examples
    --------
    >>> from shls_train.models.edge import EdgeNet
    >>> check_size(EdgeNet(), 480, 864)
    """
    multiple = network.size_multiple
    if height % multiple or width % multiple or min(height, width) < multiple:
        raise BadInput(f"size: does not fit the network (got {width}x{height}, expected multiples of {multiple})")
    if max(height, width) > MOST_SIDE:
        raise BadInput(f"size: too large (got {width}x{height}, expected at most {MOST_SIDE} pixels a side)")


def _write(
    network: Embedding,
    contract: Contract,
    out: Path,
    frames: list[np.ndarray],
    precision: str,
    quantize: Callable[[Path], AnyContract] | None,
) -> ExportReport:
    """Trace a folded network at the size of its contract, write the graph and compare it."""
    check_size(network, contract.height, contract.width)
    example = torch.zeros(1, 3, contract.height, contract.width)
    model = trace(network, (example,), [contract.input], contract.output)
    return write_compared(
        model, contract, out, precision, quantize, lambda path: _compare(network, contract, path, frames)
    )


def _compare(network: nn.Module, contract: Contract, path: Path, frames: list[np.ndarray]) -> Closeness:
    """Compare an ONNX file with its network under torch on some frames."""
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


def _tools() -> dict[str, str]:
    """Return name -> version of the software that writes the file."""
    return {"shls": shls.__version__, "torch": torch.__version__, "onnx": onnx.__version__}
