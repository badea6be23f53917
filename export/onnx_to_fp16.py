"""Convert an exported fp32 model to FP16 and compare both before the file is kept; no checkpoint is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from shls.calib.onnx_files import check_fp32, read_model
from shls.runtime.evaluation.similarity import cell_cosines
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.contract import AnyContract, Contract

from .comparison import Closeness, ExportReport, write_compared
from .refiner_to_onnx import COMPARED, random_crops


def onnx_to_fp16(source: Path, out: Path, frames: list[np.ndarray]) -> ExportReport:
    """Write a copy of an fp32 model whose convolutions compute in half precision, and compare it with the model.

    Parameters
    ----------
    source
        An fp32 model that `shls export` wrote.
    out
        ONNX file to write; it appears whole or not at all.
    frames
        Frames on which an embedding is compared, each (H, W, 3) uint8 RGB. A refiner is compared on random crops.

    Raises
    ------
    BadInput, ContractMismatch
        As `shls.export.to_fp16.to_fp16`.
    ExportFailed
        If the mean cosine to `source` is below `shls.export.comparison.COSINES`.

    Examples
    --------
    >>> onnx_to_fp16(Path("edge.onnx"), Path("edge.fp16.onnx"), frames).near.cosine  # doctest: +SKIP
    0.999999
    """
    model, contract = read_model(source)
    check_fp32(contract, source)
    feeds = list(_feeds(contract, frames))
    return write_compared(model, contract, out, "fp16", None, lambda path: _compare(source, path, feeds))


def _feeds(contract: AnyContract, frames: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the input tensors of each compared run."""
    if isinstance(contract, Contract):
        yield from ({contract.input: to_input(frame, contract)} for frame in frames)
        return
    for crop in zip(*(part.split(1) for part in random_crops(contract, COMPARED)), strict=True):
        yield dict(zip((contract.crops, contract.features), (part.numpy() for part in crop), strict=True))


def _compare(source: Path, path: Path, feeds: list[dict[str, np.ndarray]]) -> Closeness:
    """Compare two ONNX files on the same inputs."""
    sessions = [onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]) for file in (source, path)]
    worst, cosines = 0.0, []
    for one in feeds:
        expected, actual = (session.run(None, one)[0] for session in sessions)
        worst = max(worst, float(np.abs(actual - expected).max()))
        cosines.append(cell_cosines(actual, expected).mean())
    return Closeness(worst, float(np.mean(cosines)), len(feeds), source.name)
