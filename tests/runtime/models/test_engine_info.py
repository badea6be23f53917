"""Descriptions of engines: written and read again, and refused when they do not fit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.models.contract import Contract
from shls.runtime.models.engine_info import (
    Machine,
    Sidecar,
    check_engine,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)

HERE = Machine("Orin", "8.7", "10.3.0")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "net.engine"
    path.write_bytes(b"plan")
    contract = Contract("net", 64, 96, 8, "00")
    write_sidecar(Sidecar(contract, HERE, "net.onnx", "11", hashlib.sha256(b"plan").hexdigest()), path)
    return path


def test_a_fitting_engine(engine: Path) -> None:
    assert check_engine(engine, HERE) == read_sidecar(engine)
    assert read_sidecar(engine).contract == Contract("net", 64, 96, 8, "00")


@pytest.mark.parametrize("other", [{"gpu": "Thor"}, {"compute_capability": "11.0"}, {"tensorrt": "10.7.0"}])
def test_another_machine_is_named_with_the_command(engine: Path, other: dict[str, str]) -> None:
    with pytest.raises(ContractMismatch, match=r"built for another machine .* `shls export net\.onnx") as refused:
        check_engine(engine, replace(HERE, **other))
    assert all(value in str(refused.value) for value in other.values())


def test_another_file_is_refused(engine: Path) -> None:
    engine.write_bytes(b"pla")
    with pytest.raises(BadInput, match="another file than its description states"):
        check_engine(engine, HERE)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("machine"),
        lambda content: content["machine"].pop("gpu"),
        lambda content: content["contract"].update(version=99),
        lambda content: content.update(strange=1),
    ],
)
def test_an_unknown_description_is_refused(engine: Path, change: Any) -> None:
    content = json.loads(sidecar_path(engine).read_text())
    change(content)
    sidecar_path(engine).write_text(json.dumps(content))
    with pytest.raises(ContractMismatch):
        read_sidecar(engine)


@pytest.mark.parametrize("text", ["", "[]", "null", "{"])
def test_a_description_of_another_form_is_refused(engine: Path, text: str) -> None:
    sidecar_path(engine).write_text(text)
    with pytest.raises(ContractMismatch, match=r"net\.engine\.json cannot be read"):
        read_sidecar(engine)
