"""Q/DQ nodes: where they are, what they hold, and what the network still computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from shls.calib.graph import Graph
from shls.calib.placement import quantized_convolutions, tensorrt_faults
from shls.calib.quantize import quantize, quantized_model
from shls.calib.ranges import Ranges, collect_ranges
from shls.calib.samples import sample_frames
from shls.runtime.backends.base import open_session
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.features.preprocess import to_input


@pytest.fixture(scope="module")
def ranges(small_model: Path, frames_folder: Path) -> Ranges:
    return collect_ranges(small_model, sample_frames(str(frames_folder), 8, 0), "minmax")


@pytest.fixture(scope="module")
def int8(small_model: Path, ranges: Ranges, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("int8")
    paths = {target: folder / f"{target}.onnx" for target in ("tensorrt", "cpu")}
    for target, path in paths.items():
        assert quantize(small_model, ranges, target, path).precision == f"int8-{target}"
    return paths


@pytest.mark.parametrize("target", ["tensorrt", "cpu"])
def test_the_network_still_computes_the_same(
    small_model: Path, int8: dict[str, Path], frames_folder: Path, target: str
) -> None:
    exact, rounded = open_session(small_model), open_session(int8[target])
    assert rounded.contract.precision == f"int8-{target}"
    assert rounded.contract.tools.keys() > exact.contract.tools.keys()
    for image in sample_frames(str(frames_folder), 4, 1).images:
        tensor = to_input(image, exact.contract)
        cosine = (exact.run(tensor) * rounded.run(tensor)).sum(axis=0)
        assert cosine.mean() > 0.99


def test_both_are_small(small_model: Path, int8: dict[str, Path]) -> None:
    for path in int8.values():
        assert path.stat().st_size < 0.3 * small_model.stat().st_size


def test_the_tensorrt_placement(small_model: Path, int8: dict[str, Path]) -> None:
    model = onnx.load(int8["tensorrt"])
    assert tensorrt_faults(model) == []
    convolutions = [node.name for node in Graph(onnx.load(small_model)).of_kind("Conv")]
    assert quantized_convolutions(model) == convolutions
    assert len(convolutions) == 20
    types = {tensor.data_type for tensor in model.graph.initializer if tensor.name.endswith("weight_quantized")}
    assert types == {TensorProto.INT8}


def test_onnxruntime_computes_the_cpu_graph_in_integers(int8: dict[str, Path], tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(int8["cpu"], options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 20
    assert kinds.count("QLinearAdd") == 7
    assert not {"Conv", "Add", "Relu"} & set(kinds)


def test_weights_are_rounded_to_the_nearest_step(small_model: Path, int8: dict[str, Path]) -> None:
    exact = {t.name: numpy_helper.to_array(t) for t in onnx.load(small_model).graph.initializer}
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(int8["cpu"]).graph.initializer}
    for name in ("stem.0.weight", "head.weight"):
        scale = stored[f"{name}_scale"].reshape(-1, 1, 1, 1)
        error = np.abs(stored[f"{name}_quantized"] * scale - exact[name])
        assert (error <= scale / 2 + 1e-7).all()
        assert np.abs(stored[f"{name}_quantized"]).max(axis=(1, 2, 3)).tolist() == [127] * len(scale)


@pytest.mark.parametrize("target", ["tensorrt", "cpu"])
def test_convolutions_that_stay_float(small_model: Path, ranges: Ranges, target: str) -> None:
    model = onnx.load(small_model)
    names = [node.name for node in Graph(model).of_kind("Conv")]
    some = quantized_model(model, ranges, target, names[:1] + names[-1:])
    assert quantized_convolutions(some) == names[1:-1]
    onnx.checker.check_model(some, full_check=True)
    none = quantized_model(model, ranges, target, names)
    assert not Graph(none).of_kind("QuantizeLinear", "DequantizeLinear")


def test_float_means_half_for_tensorrt_and_single_for_the_cpu(
    small_model: Path, ranges: Ranges, frames_folder: Path, tmp_path: Path
) -> None:
    names = [node.name for node in Graph(onnx.load(small_model)).of_kind("Conv")]
    kept = [names[0], names[3], names[-1]]  # before a ReLU, before an addition, before the normalisation
    exact = open_session(small_model)
    tensor = to_input(sample_frames(str(frames_folder), 1, 1).images[0], exact.contract)
    for target, kind in (("tensorrt", TensorProto.FLOAT16), ("cpu", TensorProto.FLOAT)):
        quantize(small_model, ranges, target, tmp_path / f"{target}.onnx", kept)
        model = onnx.load(tmp_path / f"{target}.onnx")
        constants = {constant.name: constant.data_type for constant in model.graph.initializer}
        taken = {node.name: constants.get(node.input[1]) for node in Graph(model).of_kind("Conv")}
        assert {name for name, found in taken.items() if found == kind} == set(kept)
        assert (exact.run(tensor) * open_session(tmp_path / f"{target}.onnx").run(tensor)).sum(axis=0).mean() > 0.99
    half = Graph(onnx.load(tmp_path / "tensorrt.onnx"))
    assert len(half.of_kind("Cast")) == 7  # of three inputs and the skip branch; of two ReLU's outputs and the features
    behind = {node.name: [taker.op_type for taker in half.takers[node.output[0]]] for node in half.of_kind("Conv")}
    assert [behind[name] for name in kept] == [["Relu"], ["Add"], ["Cast"]]


def spoil(model: ModelProto, where: str) -> None:
    """Break one rule of the placement."""
    graph, constants = Graph(model), {t.name: t for t in model.graph.initializer}
    relu = graph.of_kind("Relu")[0]
    convolution = graph.maker[relu.input[0]]
    addition = next(n for n in graph.of_kind("Add") if graph.made_by(n.input[1], "Conv"))
    if where == "zero point":
        zero = constants[graph.of_kind("QuantizeLinear")[0].input[2]]
        zero.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), zero.name))
    elif where == "bias":
        weight = graph.maker[convolution.input[1]]
        convolution.input[2] = weight.output[0]
    elif where == "axis":
        graph.maker[convolution.input[1]].attribute[0].i = 1
    elif where == "input":
        convolution.input[0] = graph.maker[graph.maker[convolution.input[0]].input[0]].input[0]
    elif where == "skip":
        pair = graph.maker[addition.input[0]]
        addition.input[0] = graph.maker[pair.input[0]].input[0]
    else:
        source = convolution if where == "before relu" else graph.maker[addition.input[1]]
        taker, at = (relu, 0) if where == "before relu" else (addition, 1)
        grid = list(graph.of_kind("QuantizeLinear")[0].input[1:])
        model.graph.node.append(onnx.helper.make_node("QuantizeLinear", [source.output[0], *grid], ["q"], "q"))
        model.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["q", *grid], ["dq"], "dq"))
        taker.input[at] = "dq"


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("zero point", "zero point is not int8 zero"),
        ("bias", "bias is quantised"),
        ("axis", "not stored as int8 per channel on axis 0"),
        ("input", "only one of input and weight"),
        ("skip", "skip branch of a residual addition is not"),
        ("main", "main branch of a residual addition is"),
    ],
)
def test_the_placement_check_can_fail(int8: dict[str, Path], where: str, fault: str) -> None:
    model = onnx.load(int8["tensorrt"])
    spoil(model, where)
    assert any(fault in found for found in tensorrt_faults(model))


def test_a_pair_before_relu_is_a_fault(int8: dict[str, Path]) -> None:
    model = onnx.load(int8["tensorrt"])
    spoil(model, "before relu")
    assert any("ReLU" in found for found in tensorrt_faults(model))


def test_bad_input_is_named(small_model: Path, ranges: Ranges, int8: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    with pytest.raises(BadInput, match="expected one of tensorrt, cpu"):
        quantize(small_model, ranges, "tpu", out)
    with pytest.raises(BadInput, match=r"other: no such convolution\. `shls sensitivity` lists the names"):
        quantize(small_model, ranges, "cpu", out, ["other"])
    with pytest.raises(BadInput, match=r"node_conv2_19: no such convolution\. Did you mean node_conv2d_19\?"):
        quantize(small_model, ranges, "cpu", out, ["node_conv2_19"])
    with pytest.raises(BadInput, match=r"\(got int8-cpu, expected fp32\)\. Give the fp32 model"):
        quantize(int8["cpu"], ranges, "cpu", out)
    with pytest.raises(BadInput, match="no range for tensor image"):
        quantize(small_model, Ranges(ranges.key, {}), "cpu", out)
    strange = tmp_path / "strange.onnx"
    model = onnx.load(small_model)
    del model.metadata_props[:]
    onnx.save(model, strange)
    with pytest.raises(ContractMismatch, match="has no shls contract"):
        quantize(strange, ranges, "cpu", out)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        quantize(small_model, ranges, "cpu", blocked / "out.onnx")
    assert not out.exists()
