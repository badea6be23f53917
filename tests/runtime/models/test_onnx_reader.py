"""The reader of ONNX files: it agrees with onnx, and malformed bytes are one clear error."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.errors import BadInput, ContractMismatch, ShlsError
from shls.runtime.models.contract import METADATA_KEY, ONNX_OPSET, RefinerContract
from shls.runtime.models.onnx_reader import _parts, has_open_batch, read_any_contract, read_contract

CONTRACT = RefinerContract("made-up", 32, 11, 8, "00", "11")


def made_up(opset: int = ONNX_OPSET) -> bytes:
    """Encode a model without layers that has the tensors of the contract."""
    shapes = {name: ["count", *shape] for name, shape in CONTRACT.inputs.items()}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs = [helper.make_tensor_value_info(CONTRACT.output, TensorProto.FLOAT, None)]
    graph = helper.make_graph([], "empty", inputs, outputs)
    operators = [helper.make_opsetid("com.example", 3), helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=operators)
    helper.set_model_props(model, {"author": "somebody", METADATA_KEY: CONTRACT.to_json()})
    return bytes(model.SerializeToString())


MODEL = made_up()


@pytest.mark.parametrize("path", sorted(ASSETS.glob("*.onnx")), ids=lambda path: path.name)
def test_the_reader_agrees_with_onnx(path: Path) -> None:
    model, parts = onnx.load(path), _parts(path)
    assert parts.metadata == {entry.key: entry.value for entry in model.metadata_props}
    assert parts.opset == next(one.version for one in model.opset_import if not one.domain)
    assert parts.inputs == {
        value.name: tuple(
            axis.dim_value if axis.HasField("dim_value") else None for axis in value.type.tensor_type.shape.dim
        )
        for value in model.graph.input
    }
    assert parts.outputs == [value.name for value in model.graph.output]


def test_other_domains_and_open_axes(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(MODEL)
    assert read_any_contract(path) == CONTRACT
    assert has_open_batch(path)
    with pytest.raises(ContractMismatch):
        read_contract(path)
    path.write_bytes(made_up(17))
    with pytest.raises(ContractMismatch, match=r"net\.onnx: wrong opset \(got 17, in its contract 18, expected 18\)"):
        read_any_contract(path)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_malformed_bytes_are_a_clear_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    damaged = bytearray(MODEL[: data.draw(st.integers(0, len(MODEL)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        answer = read_any_contract(path).role
    except ShlsError as error:  # any other exception fails the test
        answer = str(error)
    assert answer in ("embedding", "refiner") or (answer.count("\n") == 0 and len(answer) > 20)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(MODEL[:-1])
    with pytest.raises(BadInput, match=r"net\.onnx: not a whole ONNX file\. Copy it again"):
        read_any_contract(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_any_contract(tmp_path)
