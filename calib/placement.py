"""What TensorRT asks of a quantised graph, as a list of faults.

After the vendor's "Working with quantized types", Q/DQ placement recommendations; a violation is no error
to the parser, it only loses fusions or whole INT8 kernels without a word.

Compared once with what nvidia-modelopt 0.47 does to `shls-edge` (`modelopt.onnx.quantization.quantize`, int8, max, its
own high precision set to fp32): it quantises the same 20 convolutions, no bias, no pair before a ReLU, and of the five
residual additions the same branch. It differs in two points: it puts the pair of an upsampled branch before the Resize
(once behind it, too), ours lies behind it, which for nearest neighbours gives the same numbers; and it keeps weights in
float with a QuantizeLinear of their own, 4.1 MB against 1.1, in opset 19.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from .graph import Graph


def tensorrt_faults(model: ModelProto) -> list[str]:
    """List where a graph's Q/DQ nodes are not where TensorRT fuses them; empty if all is well."""
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
    """Names of the convolutions that take a dequantised input and weight."""
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
            faults.append(f"{node.name}: a pair between convolution and ReLU")
    return faults


def _addition_faults(node: NodeProto, graph: Graph) -> list[str]:
    """A residual addition: one branch straight from its convolution, the other quantised."""
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
    """Kind of the node whose output a pair passes on."""
    quantize = graph.maker[dequantize.input[0]]
    maker = graph.maker.get(quantize.input[0])
    return maker.op_type if maker is not None else ""
