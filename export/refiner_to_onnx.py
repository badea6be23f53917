"""Export a refiner or a prompter as ONNX with its contract, and compare the file with torch before it is kept."""

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
from shls.runtime.evaluation.similarity import cell_cosines
from shls.runtime.models.contract import ONNX_OPSET, AnyContract, PrompterContract, RefinerContract
from shls_train.engine.checkpoint import PROMPTERS, REFINERS, Checkpoint, load_checkpoint, restore_network
from shls_train.models import prompter
from shls_train.models.edge_refiner import RefinerNetwork, contract_of
from shls_train.models.folding import fold_batch_norm, weights_digest

from .comparison import Closeness, ExportReport, write_compared
from .onnx_export import trace

COMPARED = 4
"""Number of random crops on which ONNX and torch are compared."""


def export_refiner(
    checkpoint: Path,
    out: Path,
    dynamic_batch: bool,
    precision: str = "fp32",
    quantize: Callable[[Path], AnyContract] | None = None,
) -> ExportReport:
    """Write the refiner or the prompter of a checkpoint as ONNX (opset 18).

    Parameters
    ----------
    checkpoint
        A checkpoint file or a training folder.
    out
        ONNX file to write; it appears whole or not at all.
    dynamic_batch
        True if one run takes any number of objects, False if one run takes one object. A prompter takes one prompt.
    precision, quantize
        See `shls.export.to_onnx.export_onnx`.

    Raises
    ------
    BadInput, ExportFailed
        As `shls.export.to_onnx.export_onnx`.

    Examples
    --------
    >>> export_refiner(Path("runs/refiner"), Path("refiner.onnx"), dynamic_batch=True).near.over  # doctest: +SKIP
    4
    """
    loaded = load_checkpoint(checkpoint)
    network, contract = _restored(loaded)
    contract = replace(
        contract,
        opset=ONNX_OPSET,
        tools={"shls": shls.__version__, "torch": torch.__version__, "onnx": onnx.__version__},
    )
    examples = random_crops(contract, 2 if dynamic_batch else 1)  # the exporter treats an axis of length 1 as fixed
    batch = "objects" if dynamic_batch else None
    model = trace(network, examples, [contract.crops, contract.features], contract.output, batch)
    return write_compared(model, contract, out, precision, quantize, lambda path: _compare(network, contract, path))


def _restored(loaded: Checkpoint) -> tuple[nn.Module, RefinerContract | PrompterContract]:
    """Build the folded network of a checkpoint and its contract."""
    side, embedding = loaded.meta["config"]["crop"], loaded.meta["inputs"]["embedding"]
    if loaded.meta["network"] in PROMPTERS:
        marked = fold_batch_norm(restore_network(loaded, prompter.PrompterNetwork))
        return marked, prompter.contract_of(marked, side, weights_digest(marked), embedding)
    network = fold_batch_norm(restore_network(loaded, RefinerNetwork))
    return network, contract_of(network, str(loaded.meta["network"]), side, weights_digest(network), embedding)


def is_prompter(checkpoint: Path) -> bool:
    """Return True if a checkpoint is a prompter, False if it is another network; raises BadInput if it is unreadable.

    Examples
    --------
    >>> is_prompter(Path("runs/edge"))  # doctest: +SKIP
    False
    """
    return load_checkpoint(checkpoint).meta.get("network") in PROMPTERS


def is_refiner(checkpoint: Path) -> bool:
    """Return True if a checkpoint is a refiner, False if it is another network; raises BadInput if it is unreadable.

    Examples
    --------
    >>> is_refiner(Path("runs/edge"))  # doctest: +SKIP
    False
    """
    return load_checkpoint(checkpoint).meta.get("network") in REFINERS


def random_crops(contract: RefinerContract | PrompterContract, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw random crops and features for a refiner or a prompter; equal arguments give equal tensors.

    Parameters
    ----------
    contract
        Contract of the network.
    count
        Number of crops, V.

    Returns
    -------
    (V, C, S, S) float32 crops from 0 to 1, and (V, D, S / stride, S / stride) float32 features of unit length.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
    >>> from shls.runtime.models.onnx_reader import read_refiner_contract
    >>> crops, features = random_crops(read_refiner_contract(ASSETS / EXACT_REFINER), 2)
    >>> len(crops), len(features)
    (2, 2)
    """
    generator = torch.Generator().manual_seed(count)
    images, features = (
        draw(count, *contract.inputs[name], generator=generator)
        for draw, name in ((torch.rand, contract.crops), (torch.randn, contract.features))
    )
    return images, torch.nn.functional.normalize(features, dim=1)


def _compare(network: nn.Module, contract: RefinerContract | PrompterContract, path: Path) -> Closeness:
    """Compare an ONNX file with its network under torch, one crop at a time."""
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
