"""Conversion of a torch network to an ONNX graph without paths and stack traces of the exporting machine."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from shls.runtime.errors import ExportFailed
from shls.runtime.models.contract import ONNX_OPSET


def trace(
    network: nn.Module, examples: tuple[Tensor, ...], inputs: list[str], output: str, batch: str | None = None
) -> onnx.ModelProto:
    """Convert a network to an ONNX graph.

    Parameters
    ----------
    network
        A network in evaluation mode, with one output.
    examples
        One tensor per input; the graph takes the shapes of these tensors.
    inputs, output
        Names of the graph's inputs and of its output.
    batch
        Name of the first axis if its length is open, 1 to 254; None for the length of the examples.

    Raises
    ------
    ExportFailed
        If torch writes another opset than `shls.runtime.models.contract.ONNX_OPSET`.

    Examples
    --------
    >>> model = trace(nn.ReLU().eval(), (torch.zeros(1, 3),), ["x"], "y")
    >>> [node.op_type for node in model.graph.node]
    ['Relu']
    """
    shapes: Any = None
    if batch is not None:
        length = torch.export.Dim(batch, min=1, max=254)
        shapes = tuple({0: length} for _ in examples)
    # Users cannot act on a missing torchvision, nor on deprecations inside torch.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)  # both inputs share the axis by intention
        program = torch.onnx.export(
            network,
            examples,
            input_names=inputs,
            output_names=[output],
            opset_version=ONNX_OPSET,
            dynamo=True,
            dynamic_shapes=shapes,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _drop_traces(model)
    written = {entry.domain: entry.version for entry in model.opset_import}
    if written.get("") != ONNX_OPSET:
        raise ExportFailed(
            f"torch {torch.__version__}: wrote another opset (got {written.get('')}, expected {ONNX_OPSET}). "
            "Install the torch version of constraints.txt"
        )
    return model


def _drop_traces(model: onnx.ModelProto) -> None:
    """Remove the stack traces and paths that the exporter writes into every node."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
