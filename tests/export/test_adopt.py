"""Engines of trtexec: described after one look, and only if they are of the ONNX file that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shls.export.adopt import adopt_engine
from shls.runtime.backends.trt import TrtSession
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput, ContractMismatch, DeviceUnavailable
from shls.runtime.models.engine_info import read_sidecar, sidecar_path
from tests.fake_engines import REFINER, Fakes, fake, write_onnx


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "net.onnx")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "net.engine"
    path.write_bytes(b"plan")
    return path


def adopt(engine: Path, model: Path, fakes: Fakes) -> None:
    adopt_engine(engine, model, trt=fakes.trt, cuda=fakes.cuda)


def test_an_adopted_engine_runs(model: Path, engine: Path) -> None:
    fakes = fake()
    adopt(engine, model, fakes)
    sidecar = read_sidecar(engine)
    assert sidecar.onnx == "net.onnx"
    assert sidecar.machine.gpu == fakes.cuda.name
    assert not fakes.cudart.memory, "the look at it frees everything"
    session = TrtSession(engine, fakes.trt, fakes.cuda)
    assert session.contract.height == 64
    session.close()


def test_what_is_no_engine_of_this_model_is_not_described(model: Path, engine: Path, tmp_path: Path) -> None:
    refiner = write_onnx(tmp_path / "refiner.onnx", contract=REFINER)
    for name, source, words in (
        (b"other", model, "magic tag does not match"),
        (b"plan", refiner, "tensors differ from the contract"),
    ):
        engine.write_bytes(name)
        with pytest.raises((ContractMismatch, DeviceUnavailable), match=words):
            adopt(engine, source, fake())
        assert not sidecar_path(engine).exists()


def test_an_earlier_description_survives_a_refusal(model: Path, engine: Path, tmp_path: Path) -> None:
    adopt(engine, model, fake())
    before = sidecar_path(engine).read_bytes()
    with pytest.raises(ContractMismatch, match="tensors differ from the contract"):
        adopt(engine, write_onnx(tmp_path / "refiner.onnx", contract=REFINER), fake())
    assert sidecar_path(engine).read_bytes() == before


def test_files_that_cannot_be_adopted(model: Path, engine: Path, tmp_path: Path) -> None:
    for wrong, source, words in (
        (tmp_path / "none.engine", model, "none.engine: cannot be read"),
        (engine.with_suffix(".plan"), model, "expected NAME.engine"),
        (engine, tmp_path / "none.onnx", "none.onnx"),
        (engine, write_onnx(tmp_path / "cpu.onnx", "int8-cpu"), "wrong precision for TensorRT"),
    ):
        with pytest.raises(BadInput, match=words):
            adopt(wrong, source, fake())
    assert not sidecar_path(engine).exists()


def shls(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command(model: Path, engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = fake()
    monkeypatch.setattr("shls.export.adopt.load_tensorrt", lambda: fakes.trt)
    monkeypatch.setattr("shls.export.adopt.Cuda", lambda: fakes.cuda)
    told = shls("info", "--adopt", engine, "--onnx", model)
    assert told.exit_code == 0, told.exception
    assert '"onnx": "net.onnx"' in told.output
    assert told.output == shls("info", engine).output
    for arguments, words in (
        (["--adopt", engine], "only one is given"),
        ([model, "--onnx", model], "only one is given"),
        ([model, "--adopt", engine, "--onnx", model], "expected one file"),
        ([], "expected one file"),
    ):
        refused = shls("info", *arguments)
        assert isinstance(refused.exception, BadInput)
        assert words in str(refused.exception)
