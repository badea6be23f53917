"""A torch network as an ONNX graph of one opset, without traces of the machine that wrote it."""

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
    """Make the graph of a network.

    Parameters
    ----------
    network : in evaluation mode, with one output
    examples : an input each, whose shapes the graph has
    inputs, output : names of the graph's ends
    batch : name of the first axis where it may be of any length

    Raises
    ------
    ExportFailed
        If torch writes another opset.
    """
    shapes: Any = None
    if batch is not None:
        length = torch.export.Dim(batch, min=1, max=254)
        shapes = tuple({0: length} for _ in examples)
    # Of torchvision, which is not needed, and of torch's own deprecations the user can do nothing.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)  # both inputs have one, as they should
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
            f"torch wrote opset {written.get('')}, expected {ONNX_OPSET}; use the torch version of the README"
        )
    return model


def _drop_traces(model: onnx.ModelProto) -> None:
    """The exporter notes this machine's stack traces and paths in every node; no part of a product."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
