"""What calibration needs to know of an ONNX graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto

from shls.runtime._support.files import write_whole
from shls.runtime.errors import BadInput
from shls.runtime.models.contract import METADATA_KEY, AnyContract
from shls.runtime.models.onnx_reader import read_any_contract


class Graph:
    """Who makes and who takes each tensor of a model.

    Attributes
    ----------
    model : the ONNX model
    inputs : names of its inputs
    maker : tensor -> the node that makes it
    takers : tensor -> the nodes that take it
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
        """Tell whether a node of this kind makes a tensor."""
        return tensor in self.maker and self.maker[tensor].op_type == kind

    def activation(self, tensor: str) -> str:
        """The tensor after the ReLU, where a ReLU alone takes it; else the tensor itself."""
        takers = self.takers.get(tensor, [])
        return takers[0].output[0] if [node.op_type for node in takers] == ["Relu"] else tensor

    def before_resize(self, tensor: str) -> str:
        """The tensor that a Resize made this one of, of the same range; else the tensor itself."""
        return self.maker[tensor].input[0] if self.made_by(tensor, "Resize") else tensor

    def of_kind(self, *kinds: str) -> list[NodeProto]:
        return [node for node in self.nodes if node.op_type in kinds]

    def ranged(self) -> list[str]:
        """The tensors whose ranges may be asked for: the inputs, what convolutions take, and what they and additions
        end in."""
        taken = [self.before_resize(node.input[0]) for node in self.of_kind("Conv")]
        made = [self.activation(node.output[0]) for node in self.of_kind("Conv", "Add")]
        return [*self.inputs, *made, *taken]


def load_float_model(path: Path) -> tuple[ModelProto, AnyContract]:
    """Read an fp32 model that `shls export` wrote.

    Raises
    ------
    BadInput
        If there is no such file, it is no ONNX, or its precision is not fp32.
    ContractMismatch
        If it carries no contract of this version.
    """
    contract = read_any_contract(path)
    if contract.precision != "fp32":
        raise BadInput(f"{path}: is {contract.precision} already; expected the fp32 model it was made from")
    return onnx.load(path), contract


def save_model(
    model: ModelProto, contract: AnyContract, precision: str, tools: dict[str, str], out: Path
) -> AnyContract:
    """Check a model and write it whole, with the contract of its new precision; returns that contract."""
    contract = replace(contract, precision=precision, tools=contract.tools | tools)
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    write_whole(out, model.SerializeToString())
    return contract
