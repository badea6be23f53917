"""ONNX files as `shls export` writes them: checked, with the contract inside, whole."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from shls.runtime._support.files import write_whole
from shls.runtime.models.contract import METADATA_KEY, AnyContract
from shls.runtime.models.onnx_reader import read_any_contract


def read_model(path: Path) -> tuple[ModelProto, AnyContract]:
    """Read a model and its contract.

    Raises
    ------
    BadInput
        If there is no such file, or it is no ONNX.
    ContractMismatch
        If it carries no contract of this version.
    """
    contract = read_any_contract(path)
    return onnx.load(path), contract


def write_model(model: ModelProto, contract: AnyContract, path: Path) -> None:
    """Check a model in full and write it with its contract; raises BadInput where that is not possible."""
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    write_whole(path, model.SerializeToString())
