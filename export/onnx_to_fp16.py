"""An exported model -> the same in FP16, compared with it before it is kept: no checkpoint is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from shls.runtime.evaluation.similarity import cell_cosines
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.contract import AnyContract, Contract

from .model_file import read_model
from .refiner_to_onnx import COMPARED, random_crops
from .to_fp16 import check_fp32
from .to_onnx import Closeness, ExportReport, write_compared


def onnx_to_fp16(source: Path, out: Path, frames: list[np.ndarray]) -> ExportReport:
    """Write an fp32 model with its convolutions in half precision.

    Parameters
    ----------
    source : an fp32 model that `shls export` wrote
    out : ONNX file to write; it appears whole or not at all
    frames : each (H, W, 3) uint8 RGB, on which an embedding is compared; a refiner is compared on random crops

    Raises
    ------
    BadInput, ContractMismatch
        As `shls.export.to_fp16.to_fp16`.
    ExportFailed
        If the mean cosine to `source` is below `shls.export.to_onnx.COSINES`.
    """
    model, contract = read_model(source)
    check_fp32(contract, source)
    feeds = list(_feeds(contract, frames))
    return write_compared(model, contract, out, "fp16", None, lambda path: _compare(source, path, feeds))


def _feeds(contract: AnyContract, frames: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """What a network is compared on, run after run."""
    if isinstance(contract, Contract):
        yield from ({contract.input: to_input(frame, contract)} for frame in frames)
        return
    for crop in zip(*(part.split(1) for part in random_crops(contract, COMPARED)), strict=True):
        yield dict(zip((contract.crops, contract.features), (part.numpy() for part in crop), strict=True))


def _compare(source: Path, path: Path, feeds: list[dict[str, np.ndarray]]) -> Closeness:
    """Run after run."""
    sessions = [onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]) for file in (source, path)]
    worst, cosines = 0.0, []
    for one in feeds:
        expected, actual = (session.run(None, one)[0] for session in sessions)
        worst = max(worst, float(np.abs(actual - expected).max()))
        cosines.append(cell_cosines(actual, expected).mean())
    return Closeness(worst, float(np.mean(cosines)), len(feeds), source.name)
