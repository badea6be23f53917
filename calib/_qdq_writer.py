"""Insertion of Q/DQ nodes into an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

from shls.runtime.errors import BadInput

from .graph import Graph
from .ranges import Ranges


class QdqWriter:
    """Collect Q/DQ pairs, one per tensor; the graph changes only in `finish`.

    Parameters
    ----------
    graph
        The graph to quantise; `finish` changes its model.
    ranges
        Ranges of the model's tensors.
    unsigned
        True for asymmetric uint8 activations, False for symmetric int8.

    Examples
    --------
    >>> writer = QdqWriter(graph, ranges, unsigned=False)  # doctest: +SKIP
    >>> writer.quantize_input(graph.nodes[0], 0)  # doctest: +SKIP
    >>> writer.finish()  # doctest: +SKIP
    """

    def __init__(self, graph: Graph, ranges: Ranges, unsigned: bool) -> None:
        self._graph, self._ranges, self._unsigned = graph, ranges, unsigned
        self._weights = {tensor.name: tensor for tensor in graph.model.graph.initializer}
        self._pairs: dict[str, list[NodeProto]] = {}  # name of a tensor -> its two nodes
        self._before: dict[str, list[NodeProto]] = {}  # name of a node -> its DequantizeLinear nodes
        self._inputs = {node.name: list(node.input) for node in graph.nodes}  # after `finish`

    def quantize_input(self, node: NodeProto, at: int) -> None:
        """Put a Q/DQ pair in front of one input of one node."""
        self._inputs[node.name][at] = self._pair(node.input[at])

    def quantize_everywhere(self, tensor: str) -> None:
        """Put one Q/DQ pair between a tensor and all of its consumers."""
        passed = self._pair(tensor)
        for node in self._graph.takers.get(tensor, []):
            inputs = self._inputs[node.name]
            inputs[:] = [passed if name == tensor else name for name in inputs]

    def quantize_constants(self, node: NodeProto, bias: bool) -> None:
        """Store a convolution's weight as symmetric int8 with one scale per output channel.

        With `bias`, the bias is stored as int32 in units of input scale times weight scale.
        """
        weight = self._constant(node.input[1])
        offset = self._constant(node.input[2]) if bias and len(node.input) > 2 else np.zeros(len(weight))
        input_scale = self._grid(node.input[0])[0]
        # The scale of a channel with tiny weights stays large enough for its bias to fit 31 bits.
        least = np.maximum(np.abs(offset) / (input_scale * 2**30), 1e-12)
        scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3)) / 127, least).astype(np.float32)
        rounded = np.clip(np.rint(weight / scale.reshape(-1, 1, 1, 1)), -127, 127).astype(np.int8)
        self._dequantize_constant(node, 1, rounded, scale)
        if bias and len(node.input) > 2:
            unit = scale * input_scale
            self._dequantize_constant(node, 2, np.rint(offset / unit).astype(np.int32), unit)

    def finish(self) -> None:
        """Rewire the graph, insert the new nodes in topological order, and drop unused constants."""
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
        """Return scale and zero point of a tensor; zero is exactly representable, because padding needs it."""
        tensor = self._graph.before_resize(tensor)
        if tensor not in self._ranges.tensors:
            raise BadInput(f"ranges: no range for tensor {tensor}. Collect ranges of this model with `shls calibrate`")
        low, high = self._ranges.tensors[tensor]
        if not self._unsigned:
            return np.float32(max(-low, high) / 127), np.array(0, np.int8)
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32((high - low) / 255)
        return scale, np.array(round(-low / float(scale)), np.uint8)

    def _pair(self, tensor: str) -> str:
        """Return the name of the tensor behind its Q/DQ pair, which is made on first use."""
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
            raise BadInput(f"weight {name}: not a constant of the model. Export the model again with `shls export`")
        return numpy_helper.to_array(self._weights[name])

    def _add(self, name: str, values: np.ndarray) -> str:
        self._graph.model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return onnx.helper.make_node(kind, inputs, [output], name=f"{output}_{kind}", **attributes)
