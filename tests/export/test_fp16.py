"""Half precision: the same features, half the file, order and types of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from typer.testing import CliRunner

from shls.calib.fp16 import halved_model
from shls.calib.onnx_files import read_model
from shls.export.to_fp16 import to_fp16
from shls.runtime.backends.base import open_session
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput
from shls.runtime.features.preprocess import to_input
from shls.runtime.io.sources import open_source


@pytest.fixture(scope="module")
def half(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    assert to_fp16(small_model, path).precision == "fp16"
    return path


def test_the_features_are_the_same(small_model: Path, half: Path, frames_folder: Path) -> None:
    exact, rounded = open_session(small_model), open_session(half)
    with open_source(str(frames_folder)) as source:
        for frame in source:
            tensor = to_input(frame.image, exact.contract)
            features = rounded.run(tensor)
            assert features.dtype == np.float32
            assert (exact.run(tensor) * features).sum(axis=0).mean() > 0.9999


def test_half_the_file(small_model: Path, half: Path) -> None:
    assert half.stat().st_size < 0.55 * small_model.stat().st_size


def test_convolutions_are_half_and_the_ends_are_not(half: Path) -> None:
    model, contract = read_model(half)
    assert contract.precision == "fp16"
    ends = [*model.graph.input, *model.graph.output]
    assert [end.type.tensor_type.elem_type for end in ends] == [TensorProto.FLOAT] * 2
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    taken = {types[name] for node in model.graph.node if node.op_type == "Conv" for name in node.input[1:]}
    assert taken == {TensorProto.FLOAT16}
    assert sum(node.op_type == "Cast" for node in model.graph.node) == 2


def test_nodes_come_after_what_they_take(half: Path) -> None:
    graph = onnx.load(half).graph
    known = {"", *(tensor.name for tensor in [*graph.input, *graph.initializer])}
    for node in graph.node:
        assert set(node.input) <= known
        known |= set(node.output)


def test_a_weight_beyond_fp16_is_refused(small_model: Path) -> None:
    model = onnx.load(small_model)
    weight = model.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 1e5, weight.name))
    with pytest.raises(BadInput, match=r"does not fit FP16 \(got .*, expected at most 65504\)"):
        halved_model(model, {node.name for node in model.graph.node})


def test_fp16_again_is_refused(half: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"\(got fp16, expected fp32\)"):
        to_fp16(half, tmp_path / "again.onnx")
    assert not list(tmp_path.iterdir())


def shls(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_takes_either_network_as_onnx(small_model: Path, small_refiner: Path, tmp_path: Path) -> None:
    for at, model in enumerate((small_model, small_refiner)):
        out = tmp_path / f"{at}.onnx"
        told = shls("export", model, "--precision", "fp16", "--out", out)
        assert told.exit_code == 0, told.output
        assert f"compared    to {model.name}: largest difference" in told.output
        assert "mean cosine 1.00" in told.output or "mean cosine 0.9999" in told.output
        to_fp16(model, tmp_path / "same.onnx")
        assert out.read_bytes() == (tmp_path / "same.onnx").read_bytes()


def test_what_the_command_does_not_do_with_onnx(small_model: Path, half: Path, tmp_path: Path) -> None:
    before = small_model.read_bytes()
    out = tmp_path / "new.onnx"
    for arguments, words in (
        ([small_model, "--out", out], "already ONNX. Give --precision fp16, --size WIDTHxHEIGHT, or --format engine"),
        ([small_model, "--precision", "int8", "--frames", "x", "--out", out], "`shls calibrate"),
        ([small_model, "--precision", "fp16", "--dynamic-batch", "--out", out], "--dynamic-batch: has no meaning for"),
        ([small_model, "--precision", "fp16", "--out", small_model], "would replace the file that the model"),
        ([half, "--precision", "fp16", "--out", out], "(got fp16, expected fp32)"),
        ([tmp_path / "none.onnx", "--precision", "fp16", "--out", out], "cannot be read"),
    ):
        refused = shls("export", *arguments)
        assert isinstance(refused.exception, BadInput), refused.output
        assert words in str(refused.exception)
    assert small_model.read_bytes() == before
    assert not out.exists()
