"""fp32 ONNX + ranges -> ONNX with Q/DQ nodes, placed as the engine that will run it fuses them.

The two engines want different graphs, see `TENSORRT` and `CPU`. Precision lies in the file alone: no builder
flag, no cache.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

from shls.runtime.errors import BadInput
from shls.runtime.models.contract import AnyContract

from .fp16 import halved_model
from .graph import Graph, load_float_model, save_model
from .placement import tensorrt_faults
from .ranges import Ranges

TENSORRT = "tensorrt"
"""Symmetric int8 at the inputs of convolutions, and at the skip branch of residual additions, not at the main
one: so Conv+Add+ReLU is one kernel."""
CPU = "cpu"
"""Asymmetric uint8 activations, quantised bias and outputs: onnxruntime computes in integers only where the
output is quantised too, and drops a ReLU only into a range that begins at zero."""
TARGETS = (TENSORRT, CPU)


def quantize(path: Path, ranges: Ranges, target: str, out: Path, keep_float: Collection[str] = ()) -> AnyContract:
    """Write a model with its convolutions and additions in INT8.

    Parameters
    ----------
    path : an fp32 model that `shls export` wrote
    ranges : of that model
    target : tensorrt or cpu
    out : ONNX file to write; it appears whole or not at all
    keep_float : names of convolution nodes that stay float, with the additions that end them: FP16 for TensorRT,
        which has kernels for it; fp32 for the CPU

    Returns
    -------
    The contract as written, of precision int8-tensorrt or int8-cpu.

    Raises
    ------
    BadInput
        If the target or a node's name is unknown, or the ranges lack a tensor.
    """
    model, contract = load_float_model(path)
    quantized = quantized_model(model, ranges, target, keep_float)
    return save_model(quantized, contract, f"int8-{target}", ranges.key.tools, out)


def quantized_model(model: ModelProto, ranges: Ranges, target: str, keep_float: Collection[str] = ()) -> ModelProto:
    """Return a copy of a model with Q/DQ nodes; see `quantize`."""
    if target not in TARGETS:
        raise BadInput(f"target {target!r}; expected one of {', '.join(TARGETS)}")
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = Graph(copy)
    convolutions = graph.of_kind("Conv")
    check_names(copy, keep_float)
    chosen = [node for node in convolutions if node.name not in keep_float]
    writer = _Writer(graph, ranges, unsigned=target == CPU)
    (_place_for_cpu if target == CPU else _place_for_tensorrt)(graph, writer, chosen)
    stays = {node.name for node in convolutions if node.name in keep_float}
    half = _followed(graph, stays) if target == TENSORRT else set()
    writer.finish()
    if target == TENSORRT and (faults := tensorrt_faults(copy)):
        raise AssertionError("; ".join(faults))
    return halved_model(copy, half) if half else copy


def check_names(model: ModelProto, convolutions: Collection[str]) -> None:
    """Raise BadInput, with what may have been meant, for a name that no convolution has."""
    known = [node.name for node in model.graph.node if node.op_type == "Conv"]
    for name in set(convolutions) - set(known):
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "see the names in `shls sensitivity`"
        raise BadInput(f"{name}: no such convolution; {hint}")


def _place_for_tensorrt(graph: Graph, writer: _Writer, chosen: list[NodeProto]) -> None:
    for node in chosen:
        writer.quantize_input(node, 0)
        writer.quantize_constants(node, bias=False)
    for node in graph.of_kind("Add"):
        if not _computes_in_int8(graph, node, chosen):
            continue
        branches = [at for at, name in enumerate(node.input) if graph.made_by(name, "Conv")]
        for at in range(2):
            if at not in branches[-1:]:  # the last convolution is the main branch; its sum is taken before rounding
                writer.quantize_input(node, at)


def _place_for_cpu(graph: Graph, writer: _Writer, chosen: list[NodeProto]) -> None:
    for node in chosen:
        if node.input[0] in graph.inputs:  # what else takes an input, takes it as it is
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
    """Tell whether its neighbours do: the convolution whose sum it ends, else the one that takes the sum."""
    makers = [graph.maker[name] for name in addition.input if graph.made_by(name, "Conv")]
    takers = graph.takers.get(graph.activation(addition.output[0]), [])
    neighbours = makers[-1:] or [node for node in takers if node.op_type == "Conv"]
    return bool(neighbours) and all(node in chosen for node in neighbours)


def _followed(graph: Graph, convolutions: set[str]) -> set[str]:
    """Names of convolutions and of what follows them at once: ReLU, the addition that ends them, Resize."""
    names = set(convolutions)
    for node in graph.of_kind("Relu", "Resize", "Add"):
        makers = [graph.maker[name] for name in node.input if name in graph.maker]
        ended = [maker for maker in makers if maker.op_type == "Conv"][-1:] if node.op_type == "Add" else makers
        if any(maker.name in names for maker in ended):
            names.add(node.name)
    return names


class _Writer:
    """Collects Q/DQ pairs, one per tensor; the graph changes only when it finishes."""

    def __init__(self, graph: Graph, ranges: Ranges, unsigned: bool) -> None:
        self._graph, self._ranges, self._unsigned = graph, ranges, unsigned
        self._weights = {tensor.name: tensor for tensor in graph.model.graph.initializer}
        self._pairs: dict[str, list[NodeProto]] = {}  # tensor -> its two nodes
        self._before: dict[str, list[NodeProto]] = {}  # name of a node -> dequantised constants that it takes
        self._inputs = {node.name: list(node.input) for node in graph.nodes}  # as they will be

    def quantize_input(self, node: NodeProto, at: int) -> None:
        """Let one input of one node pass through int8."""
        self._inputs[node.name][at] = self._pair(node.input[at])

    def quantize_everywhere(self, tensor: str) -> None:
        """Let all that take a tensor take it through int8."""
        passed = self._pair(tensor)
        for node in self._graph.takers.get(tensor, []):
            inputs = self._inputs[node.name]
            inputs[:] = [passed if name == tensor else name for name in inputs]

    def quantize_constants(self, node: NodeProto, bias: bool) -> None:
        """Store a convolution's weight as int8, symmetric, one scale per output channel.

        A bias, if it is to be quantised too, becomes int32 in units of input scale times weight scale.
        """
        weight = self._constant(node.input[1])
        offset = self._constant(node.input[2]) if bias and len(node.input) > 2 else np.zeros(len(weight))
        input_scale = self._grid(node.input[0])[0]
        # A channel of tiny weights keeps a scale in which its bias fits 31 bits.
        least = np.maximum(np.abs(offset) / (input_scale * 2**30), 1e-12)
        scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3)) / 127, least).astype(np.float32)
        rounded = np.clip(np.rint(weight / scale.reshape(-1, 1, 1, 1)), -127, 127).astype(np.int8)
        self._dequantize_constant(node, 1, rounded, scale)
        if bias and len(node.input) > 2:
            unit = scale * input_scale
            self._dequantize_constant(node, 2, np.rint(offset / unit).astype(np.int32), unit)

    def finish(self) -> None:
        """Rewire, put the new nodes before those that need them, drop the constants that nobody takes."""
        graph = self._graph.model.graph
        ordered = [node for name in self._graph.inputs for node in self._pairs.get(name, [])]
        for node in self._graph.nodes:
            node.input[:] = self._inputs[node.name]
            ordered += [*self._before.get(node.name, []), node]
            for name in node.output:
                ordered += self._pairs.get(name, [])
        used = {name for node in ordered for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(ordered)
        graph.initializer.extend(kept)

    def _grid(self, tensor: str) -> tuple[np.float32, np.ndarray]:
        """Scale and zero point of a tensor; zero is always representable, as padding needs."""
        tensor = self._graph.before_resize(tensor)
        if tensor not in self._ranges.tensors:
            raise BadInput(f"the ranges lack tensor {tensor}; collect them for this model with `shls calibrate`")
        low, high = self._ranges.tensors[tensor]
        if not self._unsigned:
            return np.float32(max(-low, high) / 127), np.array(0, np.int8)
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32((high - low) / 255)
        return scale, np.array(round(-low / float(scale)), np.uint8)

    def _pair(self, tensor: str) -> str:
        """The tensor's name behind its pair."""
        if tensor not in self._pairs:
            scale, zero = self._grid(tensor)
            grid = [self._add(f"{tensor}_scale", np.array(scale)), self._add(f"{tensor}_zero", zero)]
            whole = f"{tensor}_quantized"
            self._pairs[tensor] = [
                _node("QuantizeLinear", [tensor, *grid], whole),
                _node("DequantizeLinear", [whole, *grid], f"{tensor}_dequantized"),
            ]
        return str(self._pairs[tensor][1].output[0])

    def _dequantize_constant(self, node: NodeProto, at: int, whole: np.ndarray, scale: np.ndarray) -> None:
        name = node.input[at]
        inputs = [
            self._add(f"{name}_quantized", whole),
            self._add(f"{name}_scale", scale),
            self._add(f"{name}_zero", np.zeros(len(scale), whole.dtype)),
        ]
        passed = _node("DequantizeLinear", inputs, f"{name}_dequantized", axis=0)
        self._before.setdefault(node.name, []).append(passed)
        self._inputs[node.name][at] = passed.output[0]

    def _constant(self, name: str) -> np.ndarray:
        if name not in self._weights:
            raise BadInput(f"weight {name} is not a constant of the model; export it again with `shls export`")
        return numpy_helper.to_array(self._weights[name])

    def _add(self, name: str, values: np.ndarray) -> str:
        self._graph.model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return onnx.helper.make_node(kind, inputs, [output], name=f"{output}_{kind}", **attributes)
