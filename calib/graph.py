"""ONNX graphs as calibration reads and writes them: neighbours of each tensor, loading, saving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from onnx import ModelProto, NodeProto

from shls.runtime.models.contract import AnyContract

from .onnx_files import check_fp32, read_model, write_model


class Graph:
    """Producer and consumers of each tensor of a model.

    Attributes
    ----------
    model
        The ONNX model.
    nodes
        The model's nodes, in the order of the file.
    inputs
        Names of the model's inputs.
    maker
        Name of a tensor -> the node that produces it.
    takers
        Name of a tensor -> the nodes that consume it.

    Parameters
    ----------
    model
        An ONNX model; it is not copied.

    Examples
    --------
    >>> import onnx
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> graph = Graph(onnx.load(ASSETS / EXACT))
    >>> graph.inputs
    ['image']
    >>> [node.op_type for node in graph.takers["image"]]
    ['Conv']
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.inputs = [tensor.name for tensor in model.graph.input]
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.takers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)

    def made_by(self, tensor: str, kind: str) -> bool:
        """Return True if a node of this kind produces the tensor."""
        return tensor in self.maker and self.maker[tensor].op_type == kind

    def activation(self, tensor: str) -> str:
        """Return the output of the ReLU if a ReLU is the only consumer of the tensor, otherwise the tensor itself."""
        takers = self.takers.get(tensor, [])
        return takers[0].output[0] if [node.op_type for node in takers] == ["Relu"] else tensor

    def before_resize(self, tensor: str) -> str:
        """Return the input of the Resize if a Resize produces the tensor, otherwise the tensor itself.

        Both have the same range.
        """
        return self.maker[tensor].input[0] if self.made_by(tensor, "Resize") else tensor

    def of_kind(self, *kinds: str) -> list[NodeProto]:
        """Return the nodes of some operator types, such as Conv."""
        return [node for node in self.nodes if node.op_type in kinds]

    def ranged(self) -> list[str]:
        """Return the names of all tensors whose ranges quantisation may need; a name may repeat.

        Such tensors are the graph's inputs, and the inputs and outputs of convolutions and additions.
        """
        taken = [self.before_resize(node.input[0]) for node in self.of_kind("Conv")]
        made = [self.activation(node.output[0]) for node in self.of_kind("Conv", "Add")]
        return [*self.inputs, *made, *taken]


def load_float_model(path: Path) -> tuple[ModelProto, AnyContract]:
    """Read an fp32 model that `shls export` wrote, and its contract.

    Raises
    ------
    BadInput
        If the file cannot be read or is not ONNX, or if its precision is not fp32.
    ContractMismatch
        If the file carries no contract that this version reads.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> model, contract = load_float_model(ASSETS / EXACT)
    >>> contract.network, contract.precision
    ('shls-edge', 'fp32')
    """
    model, contract = read_model(path)
    check_fp32(contract, path)
    return model, contract


def save_model(
    model: ModelProto, contract: AnyContract, precision: str, tools: dict[str, str], out: Path
) -> AnyContract:
    """Check a model and write it, with the contract of its new precision.

    Parameters
    ----------
    model
        The model to write; its metadata is replaced.
    contract
        Contract of the fp32 model.
    precision
        New precision, such as int8-cpu.
    tools
        Name -> version of the software that made the model; added to the contract.
    out
        File to write; it appears whole or not at all.

    Returns
    -------
    The contract as written.

    Examples
    --------
    >>> import tempfile
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(*load_float_model(ASSETS / EXACT), "fp32", {"mine": "1"}, Path(folder, "a.onnx")).tools["mine"]
    '1'
    """
    contract = replace(contract, precision=precision, tools=contract.tools | tools)
    write_model(model, contract, out)
    return contract
