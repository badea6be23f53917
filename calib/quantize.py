"""Quantise an fp32 ONNX model to INT8: insert Q/DQ nodes where the engine that will run the model can fuse them.

TensorRT and onnxruntime need different graphs, see `TENSORRT` and `CPU`. The ONNX file alone determines the precision:
no builder flag and no calibration cache is needed.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

from onnx import ModelProto, NodeProto

from shls.runtime.errors import BadInput
from shls.runtime.models.contract import AnyContract

from ._qdq_writer import QdqWriter
from .fp16 import halved_model
from .graph import Graph, load_float_model, save_model
from .placement import tensorrt_faults
from .ranges import Ranges

TENSORRT = "tensorrt"
"""Target TensorRT: symmetric int8 at the inputs of convolutions and at the skip branch of residual additions.

The main branch of an addition stays float, so that Conv+Add+ReLU become one kernel.
"""
CPU = "cpu"
"""Target onnxruntime on the CPU: asymmetric uint8 activations, quantised biases and outputs.

onnxruntime computes in integers only if the output is quantised too. It removes a ReLU only if the range of the ReLU's
output starts at zero.
"""
TARGETS = (TENSORRT, CPU)


def quantize(path: Path, ranges: Ranges, target: str, out: Path, keep_float: Collection[str] = ()) -> AnyContract:
    """Write an INT8 copy of a model: its convolutions and additions compute in integers.

    Parameters
    ----------
    path
        An fp32 model that `shls export` wrote.
    ranges
        Ranges of that model's tensors.
    target
        The engine that will run the copy: tensorrt or cpu.
    out
        ONNX file to write; it appears whole or not at all.
    keep_float
        Names of convolution nodes that stay float, together with the additions behind them. They become FP16 for
        TensorRT and stay fp32 for the CPU.

    Returns
    -------
    The contract as written; its precision is int8-tensorrt or int8-cpu.

    Raises
    ------
    BadInput
        If the target or the name of a node is unknown, or if the range of a tensor is missing.

    Examples
    --------
    >>> ranges = collect_ranges(Path("edge.onnx"), sample_frames("stills", 32, 0), "percentile")  # doctest: +SKIP
    >>> quantize(Path("edge.onnx"), ranges, "cpu", Path("edge.int8.onnx")).precision  # doctest: +SKIP
    'int8-cpu'
    """
    model, contract = load_float_model(path)
    quantized = quantized_model(model, ranges, target, keep_float)
    return save_model(quantized, contract, f"int8-{target}", ranges.key.tools, out)


def quantized_model(model: ModelProto, ranges: Ranges, target: str, keep_float: Collection[str] = ()) -> ModelProto:
    """Return a copy of a model with Q/DQ nodes; parameters and errors as `quantize`.

    Examples
    --------
    >>> quantized_model(model, ranges, "tensorrt", keep_float=["node_conv2d"])  # doctest: +SKIP
    """
    if target not in TARGETS:
        raise BadInput(f"target: unknown (got {target!r}, expected one of {', '.join(TARGETS)})")
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = Graph(copy)
    convolutions = graph.of_kind("Conv")
    check_names(copy, keep_float)
    chosen = [node for node in convolutions if node.name not in keep_float]
    writer = QdqWriter(graph, ranges, unsigned=target == CPU)
    (_place_for_cpu if target == CPU else _place_for_tensorrt)(graph, writer, chosen)
    stays = {node.name for node in convolutions if node.name in keep_float}
    half = _followed(graph, stays) if target == TENSORRT else set()
    writer.finish()
    if target == TENSORRT and (faults := tensorrt_faults(copy)):
        raise AssertionError("; ".join(faults))
    return halved_model(copy, half) if half else copy


def check_names(model: ModelProto, convolutions: Collection[str]) -> None:
    """Raise BadInput for a name that no convolution of the model has; the message proposes a similar name.

    Examples
    --------
    >>> import onnx
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> check_names(onnx.load(ASSETS / EXACT), ["node_conv2d"])
    """
    known = [node.name for node in model.graph.node if node.op_type == "Conv"]
    for name in set(convolutions) - set(known):
        near = get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]}?" if near else "`shls sensitivity` lists the names"
        raise BadInput(f"{name}: no such convolution. {hint}")


def _place_for_tensorrt(graph: Graph, writer: QdqWriter, chosen: list[NodeProto]) -> None:
    for node in chosen:
        writer.quantize_input(node, 0)
        writer.quantize_constants(node, bias=False)
    for node in graph.of_kind("Add"):
        if not _computes_in_int8(graph, node, chosen):
            continue
        branches = [at for at, name in enumerate(node.input) if graph.made_by(name, "Conv")]
        for at in range(2):
            if at not in branches[-1:]:  # the last convolution is the main branch, which is added before rounding
                writer.quantize_input(node, at)


def _place_for_cpu(graph: Graph, writer: QdqWriter, chosen: list[NodeProto]) -> None:
    for node in chosen:
        if node.input[0] in graph.inputs:  # other consumers of a graph input read it unrounded
            writer.quantize_input(node, 0)
        else:
            writer.quantize_everywhere(node.input[0])
        writer.quantize_everywhere(graph.activation(node.output[0]))
        writer.quantize_constants(node, bias=True)
    for node in graph.of_kind("Add"):
        if _computes_in_int8(graph, node, chosen):
            for name in node.input:
                writer.quantize_everywhere(graph.before_resize(name))
                writer.quantize_everywhere(name)
            writer.quantize_everywhere(graph.activation(node.output[0]))


def _computes_in_int8(graph: Graph, addition: NodeProto, chosen: list[NodeProto]) -> bool:
    """Return True if the convolution before an addition computes in INT8, or else all convolutions behind it."""
    makers = [graph.maker[name] for name in addition.input if graph.made_by(name, "Conv")]
    takers = graph.takers.get(graph.activation(addition.output[0]), [])
    neighbours = makers[-1:] or [node for node in takers if node.op_type == "Conv"]
    return bool(neighbours) and all(node in chosen for node in neighbours)


def _followed(graph: Graph, convolutions: set[str]) -> set[str]:
    """Return the names of convolutions and of the ReLU, addition and Resize nodes directly behind them."""
    names = set(convolutions)
    for node in graph.of_kind("Relu", "Resize", "Add"):
        makers = [graph.maker[name] for name in node.input if name in graph.maker]
        ended = [maker for maker in makers if maker.op_type == "Conv"][-1:] if node.op_type == "Add" else makers
        if any(maker.name in names for maker in ended):
            names.add(node.name)
    return names
