"""fp32 ONNX -> FP16 ONNX: half precision lies in the graph; image and features stay float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shls.calib.fp16 import halved_model
from shls.runtime.errors import BadInput
from shls.runtime.models.contract import AnyContract

from .model_file import read_model, write_model

HALF = frozenset({"Conv", "Relu", "Add", "Resize"})
"""What computes in half precision. The final normalisation does not: it guards against division by 1e-12,
which is zero in FP16, and it ends in float32 anyway."""


def to_fp16(path: Path, out: Path) -> AnyContract:
    """Write a model with its convolutions in half precision.

    Parameters
    ----------
    path : an fp32 model that `shls export` wrote
    out : ONNX file to write; it appears whole or not at all

    Returns
    -------
    The contract as written, of precision fp16.

    Raises
    ------
    BadInput
        If the model cannot be read, is not fp32, or a weight does not fit FP16; or `out` cannot be written.
    ContractMismatch
        If it carries no contract of this version.
    """
    model, contract = read_model(path)
    check_fp32(contract, path)
    chosen = {node.name for node in model.graph.node if node.op_type in HALF}
    contract = replace(contract, precision="fp16")
    write_model(halved_model(model, chosen), contract, out)
    return contract


def check_fp32(contract: AnyContract, path: Path) -> None:
    """Raise BadInput for a model that is rounded already."""
    if contract.precision != "fp32":
        raise BadInput(f"{path}: is {contract.precision} already; expected the fp32 model it was made from")
