"""A refiner's checkpoint -> ONNX with the contract inside, compared with torch before it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from shls.runtime.evaluation.similarity import cell_cosines
from shls.runtime.models.contract import ONNX_OPSET, AnyContract, RefinerContract
from shls_train.engine.checkpoint import REFINERS, load_checkpoint, restore_network
from shls_train.models.edge_refiner import RefinerNetwork, contract_of
from shls_train.models.folding import fold_batch_norm, weights_digest

from .onnx_export import trace
from .to_onnx import Closeness, ExportReport, write_compared

COMPARED = 4
"""Crops on which ONNX and torch are compared: as many random ones."""


def export_refiner(
    checkpoint: Path,
    out: Path,
    dynamic_batch: bool,
    precision: str = "fp32",
    quantize: Callable[[Path], AnyContract] | None = None,
) -> ExportReport:
    """Write the refiner of a checkpoint as ONNX (opset 18).

    Parameters
    ----------
    checkpoint : path
        A checkpoint file or a training folder.
    out : path
        The ONNX file to write; it appears whole or not at all.
    dynamic_batch : bool
        Whether one run takes any number of objects, or just one.
    precision, quantize : see `shls.export.to_onnx.export_onnx`

    Raises
    ------
    BadInput, ExportFailed
        As `shls.export.to_onnx.export_onnx`.
    """
    loaded = load_checkpoint(checkpoint)
    network = fold_batch_norm(restore_network(loaded, RefinerNetwork))
    sizes = str(loaded.meta["network"]), loaded.meta["config"]["crop"]
    digests = weights_digest(network), loaded.meta["inputs"]["embedding"]
    contract = replace(
        contract_of(network, *sizes, *digests),
        opset=ONNX_OPSET,
        tools={"torch": torch.__version__, "onnx": onnx.__version__},
    )
    examples = random_crops(contract, 2 if dynamic_batch else 1)  # a single one would be taken for a fixed number
    batch = "objects" if dynamic_batch else None
    model = trace(network, examples, [contract.crops, contract.features], contract.output, batch)
    return write_compared(model, contract, out, precision, quantize, lambda path: _compare(network, contract, path))


def is_refiner(checkpoint: Path) -> bool:
    """Tell which of the two networks a checkpoint is of; raises BadInput if it cannot be read."""
    return load_checkpoint(checkpoint).meta.get("network") in REFINERS


def random_crops(contract: RefinerContract, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random crops and features of the right shapes, always the same."""
    generator = torch.Generator().manual_seed(count)
    images, features = (
        draw(count, *contract.inputs[name], generator=generator)
        for draw, name in ((torch.rand, contract.crops), (torch.randn, contract.features))
    )
    return images, torch.nn.functional.normalize(features, dim=1)


def _compare(network: nn.Module, contract: RefinerContract, path: Path) -> Closeness:
    """To torch, a crop at a time."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst, cosines = 0.0, []
    for images, features in zip(*(part.split(1) for part in random_crops(contract, COMPARED)), strict=True):
        with torch.inference_mode():
            expected = network(images, features).numpy()
        feeds = {contract.crops: images.numpy(), contract.features: features.numpy()}
        actual = session.run([contract.output], feeds)[0]
        worst = max(worst, float(np.abs(actual - expected).max()))
        cosines.append(cell_cosines(actual, expected).mean())
    return Closeness(worst, float(np.mean(cosines)), COMPARED)
