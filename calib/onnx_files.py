"""Reading and writing of ONNX files that carry a contract."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto

from shls.runtime._support.files import write_whole
from shls.runtime.errors import BadInput
from shls.runtime.models.contract import METADATA_KEY, AnyContract
from shls.runtime.models.onnx_reader import read_any_contract


def read_model(path: Path) -> tuple[ModelProto, AnyContract]:
    """Read a model and its contract; external data is read from its files beside the model.

    Raises
    ------
    BadInput
        If the file does not exist or is not ONNX, or if a file of its external data cannot be read.
    ContractMismatch
        If the file carries no contract that this version reads.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> model, contract = read_model(ASSETS / EXACT)
    >>> model.graph.output[0].name == contract.output
    True
    """
    contract = read_any_contract(path)
    try:
        return onnx.load(path), contract
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(
            f"{path}: cannot be read ({reason}). Put the files of its external data beside it, or export it again"
        ) from error


def write_model(model: ModelProto, contract: AnyContract, path: Path) -> None:
    """Check a model with onnx's full checker and write it with its contract; the file appears whole or not at all.

    Raises
    ------
    BadInput
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(*read_model(ASSETS / EXACT), Path(folder, "copy.onnx"))
    """
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    write_whole(path, model.SerializeToString())


def check_fp32(contract: AnyContract, path: Path) -> None:
    """Raise BadInput if a model has a precision other than fp32.

    Examples
    --------
    >>> from shls.runtime.backends.base import contract_of
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> check_fp32(contract_of(ASSETS / EXACT), ASSETS / EXACT)
    """
    if contract.precision != "fp32":
        raise BadInput(
            f"{path}: wrong precision (got {contract.precision}, expected fp32). "
            "Give the fp32 model that this file was made from"
        )
