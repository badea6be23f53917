"""Conversion of chosen graph nodes to FP16: halved weights, and casts at the borders of the FP16 part."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from shls.runtime.errors import BadInput

HALF_MAX = 65504.0
"""Largest finite value of FP16."""
FLOAT_INPUTS = {"Resize": (1, 2)}
"""Inputs, by position, that ONNX requires in float32 for every precision: region and scales of a Resize."""


def halved_model(model: ModelProto, chosen: Collection[str]) -> ModelProto:
    """Return a copy of a model in which chosen nodes compute in FP16; its nodes are in topological order.

    Parameters
    ----------
    model
        A float32 model; some of its nodes may be quantised.
    chosen
        Names of the nodes. A node that makes an output of the graph stays float32, because outputs are float32.

    Raises
    ------
    BadInput
        If a weight does not fit FP16.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> model = onnx.load(ASSETS / EXACT)
    >>> halved = halved_model(model, [node.name for node in model.graph.node if node.op_type == "Conv"])
    >>> halved.ByteSize() < 0.6 * model.ByteSize()
    True
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    writer = _Writer(copy, chosen)
    ordered = [made for node in copy.graph.node for made in writer.rewrite(node)]
    del copy.graph.node[:], copy.graph.value_info[:]
    copy.graph.node.extend(ordered)
    writer.halve_constants()
    return onnx.shape_inference.infer_shapes(copy, strict_mode=True)


class _Writer:
    """Rewire the nodes of a graph to halved weights and to casts; each cast is made once."""

    def __init__(self, model: ModelProto, chosen: Collection[str]) -> None:
        outputs = {output.name for output in model.graph.output}
        ends = {node.name for node in model.graph.node if outputs & set(node.output)}
        self._graph, self._chosen = model.graph, set(chosen) - ends
        self._constants = {tensor.name for tensor in model.graph.initializer}
        self._half = {name for node in model.graph.node if node.name in self._chosen for name in node.output}
        self._cast: dict[str, str] = {}  # name of a tensor -> name of its cast
        self._halved: dict[str, str] = {}  # name of a constant -> name of its FP16 copy

    def rewrite(self, node: NodeProto) -> list[NodeProto]:
        """Return the node, preceded by the casts that no earlier node needed."""
        casts = []
        wants_half = node.name in self._chosen
        for at, name in enumerate(node.input):
            if name in self._constants:
                if wants_half and at not in FLOAT_INPUTS.get(node.op_type, ()):
                    node.input[at] = self._halved.setdefault(name, f"{name}_half")
            elif name and (name in self._half) != wants_half:
                if name not in self._cast:
                    self._cast[name] = f"{name}_cast"
                    kind = TensorProto.FLOAT16 if wants_half else TensorProto.FLOAT
                    casts.append(onnx.helper.make_node("Cast", [name], [f"{name}_cast"], f"{name}_cast", to=kind))
                node.input[at] = self._cast[name]
        return [*casts, node]

    def halve_constants(self) -> None:
        """Add the FP16 constants and drop the constants that no node uses."""
        constants = {tensor.name: tensor for tensor in self._graph.initializer}
        used = {name for node in self._graph.node for name in node.input}
        kept = [tensor for name, tensor in constants.items() if name in used]
        kept += [_half(constants[name], half) for name, half in self._halved.items()]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)


def _half(constant: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(constant)
    largest = float(np.abs(values).max(initial=0))
    if largest > HALF_MAX:
        raise BadInput(
            f"weight {constant.name}: does not fit FP16 (got {largest:.3g}, expected at most {HALF_MAX:.0f}). "
            "Keep this model fp32"
        )
    return numpy_helper.from_array(values.astype(np.float16), name)
