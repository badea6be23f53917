"""fp32 ONNX -> FP16 ONNX: half precision lies in the graph; image and features stay float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from shls.export.model_file import read_model, write_model
from shls.runtime.contract import Contract
from shls.runtime.errors import BadInput

HALF_MAX = 65504.0
HALF = frozenset({"Conv", "Relu", "Add", "Resize"})
"""What computes in half precision. The final normalisation does not: it guards against division by 1e-12,
which is zero in FP16, and it ends in float32 anyway."""


def to_fp16(path: Path, out: Path) -> Contract:
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
    if contract.precision != "fp32":
        raise BadInput(f"{path}: is {contract.precision} already; expected the fp32 model it was made from")
    halved = halved_model(model)
    contract = replace(contract, precision="fp16")
    write_model(halved, contract, out)
    return contract


def halved_model(model: ModelProto) -> ModelProto:
    """Return a copy with casts where half precision begins and ends, nodes in topological order."""
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    half = {name for node in graph.node if node.op_type in HALF for name in node.output}
    casts: dict[str, NodeProto] = {}
    ordered: list[NodeProto] = []
    for node in graph.node:
        wanted = TensorProto.FLOAT16 if node.op_type in HALF else TensorProto.FLOAT
        for at, name in enumerate(node.input):
            if name in weights:
                if node.op_type == "Conv":
                    _halve(weights[name])
            elif name and (name in half) != (node.op_type in HALF):
                if name not in casts:
                    casts[name] = onnx.helper.make_node("Cast", [name], [f"{name}_cast"], f"{name}_cast", to=wanted)
                    ordered.append(casts[name])
                node.input[at] = casts[name].output[0]
        ordered.append(node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(ordered)
    return onnx.shape_inference.infer_shapes(copy, strict_mode=True)


def _halve(weight: TensorProto) -> None:
    if weight.data_type != TensorProto.FLOAT:  # shared, and halved before
        return
    values = numpy_helper.to_array(weight)
    largest = float(np.abs(values).max())
    if largest > HALF_MAX:
        raise BadInput(f"weight {weight.name} holds {largest:.3g}, FP16 ends at {HALF_MAX:.0f}; keep this model fp32")
    weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), weight.name))
