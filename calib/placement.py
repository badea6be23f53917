"""Check where a quantised graph departs from the Q/DQ placement that TensorRT recommends.

Source: NVIDIA's guide "Working with quantized types", section on the placement of Q/DQ nodes. TensorRT's parser accepts
a graph that departs from it, but the engine silently loses fusions or whole INT8 kernels.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from .graph import Graph


def tensorrt_faults(model: ModelProto) -> list[str]:
    """List the places where TensorRT cannot fuse a graph's Q/DQ nodes.

    Parameters
    ----------
    model
        A model with Q/DQ nodes, as `shls.calib.quantize.quantized_model` makes them for TensorRT.

    Returns
    -------
    One sentence per fault, with the node's name first; empty if the placement is right.

    Examples
    --------
    >>> import onnx
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> tensorrt_faults(onnx.load(ASSETS / "shls-edge.int8-tensorrt.onnx"))
    []
    >>> tensorrt_faults(onnx.load(ASSETS / "shls-edge.int8-cpu.onnx"))[0]
    'image_quantized_QuantizeLinear: zero point is not int8 zero'
    """
    graph = Graph(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    faults: list[str] = []
    for node in graph.of_kind("QuantizeLinear", "DequantizeLinear"):
        faults += _pair_faults(node, constants)
    for node in graph.of_kind("Conv"):
        faults += _convolution_faults(node, graph, constants)
    for node in graph.of_kind("Add"):
        faults += _addition_faults(node, graph)
    return faults


def quantized_convolutions(model: ModelProto) -> list[str]:
    """Return the names of the convolutions whose input and weight are quantised.

    Examples
    --------
    >>> import onnx
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> len(quantized_convolutions(onnx.load(ASSETS / "shls-edge.int8-tensorrt.onnx")))
    20
    """
    graph = Graph(model)
    return [
        node.name
        for node in graph.of_kind("Conv")
        if all(graph.made_by(name, "DequantizeLinear") for name in node.input[:2])
    ]


def _pair_faults(node: NodeProto, constants: dict[str, TensorProto]) -> list[str]:
    zero = constants[node.input[2]]
    if zero.data_type != TensorProto.INT8 or numpy_helper.to_array(zero).any():
        return [f"{node.name}: zero point is not int8 zero"]
    return []


def _convolution_faults(node: NodeProto, graph: Graph, constants: dict[str, TensorProto]) -> list[str]:
    through = [graph.made_by(name, "DequantizeLinear") for name in node.input]
    faults = []
    if through[0] != through[1]:
        faults.append(f"{node.name}: only one of input and weight is quantised")
    if any(through[2:]):
        faults.append(f"{node.name}: bias is quantised")
    if through[1]:
        dequantize = graph.maker[node.input[1]]
        whole, scale = (constants.get(name) for name in dequantize.input[:2])
        axis = next((a.i for a in dequantize.attribute if a.name == "axis"), 1)
        if whole is None or scale is None or axis != 0 or list(scale.dims) != list(whole.dims[:1]):
            faults.append(f"{node.name}: weight is not stored as int8 per channel on axis 0")
    for quantize in graph.takers.get(node.output[0], []):
        behind = graph.takers.get(quantize.output[0], []) if quantize.op_type == "QuantizeLinear" else []
        if any(taker.op_type == "Relu" for pair in behind for taker in graph.takers.get(pair.output[0], [])):
            faults.append(f"{node.name}: a Q/DQ pair lies between convolution and ReLU")
    return faults


def _addition_faults(node: NodeProto, graph: Graph) -> list[str]:
    """List faults of a residual addition: its main branch must be float, its skip branch quantised."""
    origins = [graph.maker.get(name) for name in node.input]
    dequantized = [o is not None and o.op_type == "DequantizeLinear" for o in origins]
    straight = [o is not None and o.op_type == "Conv" for o in origins]
    if all(dequantized) and any(_behind_pair(o, graph) == "Conv" for o in origins if o is not None):
        return [f"{node.name}: the main branch of a residual addition is quantised"]
    quantized = {graph.maker[n].name for n, s in zip(node.input, straight, strict=True) if s} & set(
        quantized_convolutions(graph.model)
    )
    if quantized and not any(dequantized):
        return [f"{node.name}: the skip branch of a residual addition is not quantised"]
    return []


def _behind_pair(dequantize: NodeProto, graph: Graph) -> str:
    """Return the operator type of the node in front of a Q/DQ pair."""
    quantize = graph.maker[dequantize.input[0]]
    maker = graph.maker.get(quantize.input[0])
    return maker.op_type if maker is not None else ""
