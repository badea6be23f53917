"""Building engines, against stand-ins for TensorRT and CUDA: what the builder is told, and what is refused."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner

from shls.export.tensorrt_builder import (
    contract_for_tensorrt,
    timing_cache_name,
    to_engine,
    trtexec_line,
    workspace_mb,
)
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput, ContractMismatch, ExportFailed
from shls.runtime.models.engine_info import Machine
from tests.fake_engines import REFINER, build, fake, write_onnx


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "net.onnx")


@pytest.fixture
def refiner(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "refiner.onnx", contract=REFINER)


def test_the_builder_is_told_how_many_objects_come(model: Path, refiner: Path) -> None:
    fakes = fake(refiner=True)
    build(refiner, fakes)
    assert fakes.trt.profile["crops"] == ((1, 11, 32, 32), (2, 11, 32, 32), (8, 11, 32, 32))
    assert fakes.trt.profile["features"] == ((1, 8, 8, 8), (2, 8, 8, 8), (8, 8, 8, 8))
    fixed = fake()
    build(model, fixed)
    assert fixed.trt.profile == {}


def test_strongly_typed_alone_where_that_works(model: Path) -> None:
    for weak in (False, True):
        fakes = fake(weak=weak)
        build(model, fakes)
        assert [line for line in fakes.trt.log if "MB" not in line] == ["network typed=True"]


@pytest.mark.parametrize(("precision", "flags"), [("fp16", ["FP16"]), ("int8-tensorrt", ["FP16", "INT8"])])
def test_weak_typing_where_a_version_10_needs_it(tmp_path: Path, precision: str, flags: list[str]) -> None:
    fakes = fake(weak=True)
    fakes.trt.builds[True] = False
    build(write_onnx(tmp_path / "net.onnx", precision), fakes)
    said = [line for line in fakes.trt.log if "MB" not in line]
    assert said == ["network typed=True", "network typed=False", *flags]


def test_what_tensorrt_refuses_leaves_nothing(model: Path) -> None:
    fakes = fake()
    fakes.trt.builds[True] = False
    with pytest.raises(ExportFailed, match=r"cannot build it.*no implementation for node_conv2d") as caught:
        build(model, fakes)
    assert "not to be repeated" not in str(caught.value)
    fakes.trt.parses = False
    with pytest.raises(ExportFailed, match=r"parser refuses it \(In node 3: unsupported type\)"):
        build(model, fakes)
    assert [file.name for file in model.parent.iterdir()] == ["net.onnx"]


def test_timings_are_kept_and_those_of_others_replaced(model: Path) -> None:
    fakes = fake()
    build(model, fakes)
    cache = model.with_name("Orin-8.7-trt11.4.1.timing")
    assert cache.read_bytes() == b"timings"
    cache.write_bytes(b"other")
    fakes.trt.timings = b"new timings"
    build(model, fakes)
    assert cache.read_bytes() == b"new timings"
    assert timing_cache_name(Machine("RTX 4090/D", "8.9", "11.0")) == "RTX_4090_D-8.9-trt11.0.timing"


def test_progress_is_told(model: Path) -> None:
    fakes, told = fake(), []
    to_engine(
        model,
        model.with_suffix(".engine"),
        trt=fakes.trt,
        cuda=fakes.cuda,
        progress=lambda *step: told.append(step),
    )
    assert told == [("Building", 1, 2), ("Building", 2, 2)]


def test_models_that_are_not_for_tensorrt(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="calibrate --target tensorrt"):
        contract_for_tensorrt(write_onnx(tmp_path / "cpu.onnx", "int8-cpu"))
    (tmp_path / "no.onnx").write_bytes(b"\x3a\xff")
    with pytest.raises(BadInput, match="not a whole ONNX file"):
        contract_for_tensorrt(tmp_path / "no.onnx")
    onnx.save(onnx.ModelProto(ir_version=10), tmp_path / "strange.onnx")
    with pytest.raises(ContractMismatch, match="has no shls contract"):
        contract_for_tensorrt(tmp_path / "strange.onnx")


def shls(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_refuses_what_does_not_fit(model: Path) -> None:
    engine, other = model.with_suffix(".engine"), model.with_name("other.onnx")
    for arguments, out, message in (
        ([model, "--format", "engine", "--size", "96x64"], engine, "--size: has no meaning for --format engine"),
        ([model, "--format", "engine", "--target", "cpu"], engine, "--target: has no meaning for --format engine"),
        ([model, "--via", "trtexec"], other, "--via: has no meaning for --format onnx"),
        ([model, "--target", "cpu"], other, "--target: has no meaning for --precision fp32"),
        ([model, "--precision", "int8"], other, "Give --frames FOLDER or VIDEO"),
        ([model], other, "already ONNX"),
        ([model.parent, "--format", "engine"], engine, "an engine is built from ONNX"),
        ([model.parent], engine, "expected NAME.onnx"),
    ):
        error = shls("export", *arguments, "--out", out).exception
        assert isinstance(error, BadInput)
        assert message in str(error)
        assert not out.exists()
    line = shls("export", model, "--format", "engine", "--out", engine, "--via", "trtexec")
    assert line.stdout.startswith("trtexec --onnx=")
    assert f"shls info --adopt {engine} --onnx {model}" in line.stderr


def test_the_command_builds_and_says_for_which_machine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes, out = fake(), model.with_suffix(".engine")
    monkeypatch.setattr("shls.export.tensorrt_builder.load_tensorrt", lambda: fakes.trt)
    monkeypatch.setattr("shls.export.tensorrt_builder.Cuda", lambda: fakes.cuda)
    told = shls("export", model, "--format", "engine", "--out", out)
    assert told.exit_code == 0, told.exception
    assert told.stderr == "Building: done\n", "no terminal, no line that changes"
    assert told.stdout.startswith(f"{out}: fp32, ")
    assert fakes.cuda.name in told.stdout
    refused = shls("export", model, "--format", "engine", "--out", model / "file.engine")
    assert isinstance(refused.exception, BadInput)
    assert "cannot be written" in str(refused.exception)


def test_trtexec(tmp_path: Path) -> None:
    model = write_onnx(tmp_path / "a b.onnx")
    words = shlex.split(trtexec_line(model, Path("x.engine")))
    assert words[:3] == ["trtexec", f"--onnx={model}", "--saveEngine=x.engine"]
    assert "--stronglyTyped" in words
    assert not [word for word in words if "Shapes" in word]
    assert 64 <= workspace_mb() <= 1024


def test_trtexec_of_any_number_of_objects(refiner: Path) -> None:
    words = shlex.split(trtexec_line(refiner, Path("x.engine")))
    assert words[-3:] == [
        "--minShapes=crops:1x11x32x32,features:1x8x8x8",
        "--optShapes=crops:2x11x32x32,features:2x8x8x8",
        "--maxShapes=crops:8x11x32x32,features:8x8x8x8",
    ]
