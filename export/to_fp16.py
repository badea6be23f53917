"""Convert an fp32 ONNX model to FP16 inside its graph; inputs and outputs stay float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shls.calib.fp16 import halved_model
from shls.calib.onnx_files import check_fp32, read_model, write_model
from shls.runtime.models.contract import AnyContract

HALF = frozenset({"Conv", "Relu", "Add", "Resize"})
"""Operators that compute in half precision.

The final normalisation stays float32: it divides by at least 1e-12, which is zero in FP16.
"""


def to_fp16(path: Path, out: Path) -> AnyContract:
    """Write a copy of a model whose convolutions compute in half precision.

    Parameters
    ----------
    path
        An fp32 model that `shls export` wrote.
    out
        ONNX file to write; it appears whole or not at all.

    Returns
    -------
    The contract as written; its precision is fp16.

    Raises
    ------
    BadInput
        If the model cannot be read, is not fp32, has a weight that does not fit FP16, or `out` cannot be written.
    ContractMismatch
        If the model carries no contract that this version reads.

    Examples
    --------
    >>> import tempfile
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_fp16(ASSETS / EXACT, Path(folder, "edge.fp16.onnx")).precision
    'fp16'
    """
    model, contract = read_model(path)
    check_fp32(contract, path)
    chosen = {node.name for node in model.graph.node if node.op_type in HALF}
    contract = replace(contract, precision="fp16")
    write_model(halved_model(model, chosen), contract, out)
    return contract
