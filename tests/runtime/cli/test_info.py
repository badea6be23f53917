"""What `shls info` tells of a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shls.runtime._support.files import sha256_of
from shls.runtime.backends.base import describe
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.models.contract import Contract
from shls.runtime.models.engine_info import Machine, Sidecar, write_sidecar


def test_of_onnx_the_contract(small_model: Path) -> None:
    shown = CliRunner().invoke(app, ["info", str(small_model)])
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.output)
    assert told["contract"]["width"] == 96
    assert told["contract"]["precision"] == "fp32"
    assert told["onnx_sha256"] == sha256_of(small_model)


def test_settings_are_listed_with_their_meaning(small_model: Path, small_refiner: Path) -> None:
    lines = CliRunner().invoke(app, ["info", "--settings", str(small_model)]).output.splitlines()
    (radius,) = [line for line in lines if line.startswith("memory.radius ")]
    assert "0.25 (default 0.25)" in radius
    assert "in frame heights" in radius
    refused = CliRunner().invoke(app, ["info", "--settings", str(small_refiner)])
    assert "a refiner has no settings" in str(refused.exception)


def test_of_an_engine_the_description_without_tensorrt(tmp_path: Path) -> None:
    engine = tmp_path / "x.engine"
    engine.write_bytes(b"plan")
    machine = Machine("Orin", "8.7", "10.3.0")
    write_sidecar(Sidecar(Contract("shls-edge", 64, 96, 8, "c"), machine, "x.onnx", "o", "e"), engine)
    told = json.loads(CliRunner().invoke(app, ["info", str(engine)]).output)
    assert told["machine"] == {"gpu": "Orin", "compute_capability": "8.7", "tensorrt": "10.3.0"}
    assert told["contract"]["dim"] == 8


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such model"):
        describe(tmp_path / "none.onnx")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(BadInput, match=r"expected \.onnx or \.engine"):
        describe(tmp_path / "a.txt")
    (tmp_path / "a.onnx").write_text("no model")
    with pytest.raises(BadInput, match="not a whole ONNX file"):
        describe(tmp_path / "a.onnx")
    (tmp_path / "a.engine").write_text("no sidecar")
    with pytest.raises(ContractMismatch, match=r"a\.engine\.json cannot be read"):
        describe(tmp_path / "a.engine")
