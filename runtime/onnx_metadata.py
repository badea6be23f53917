"""Reads the contract out of an ONNX file without onnx or onnxruntime: a device may have TensorRT alone.

An ONNX file is a protobuf message. By onnx.proto its metadata is field 14, entries of a key (1) and a value (2); its
operator sets are field 8, each of a domain (1, none for ONNX's own) and a version (2).
Its graph is field 7, and the way from there to the name of an input's first axis is below.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from shls.runtime.contract import AnyContract, Contract, RefinerContract, any_contract, contract_text
from shls.runtime.errors import BadInput, ContractMismatch

METADATA, KEY, VALUE = 14, 1, 2
OPERATORS, DOMAIN, OPSET = 8, 1, 2
GRAPH, INPUT, TYPE, TENSOR, SHAPE, DIMENSION, NAMED = 7, 11, 2, 1, 2, 1, 2  # each within the one before
VARINT, EIGHT_BYTES, COUNTED, FOUR_BYTES = 0, 1, 2, 5  # protobuf's wire types

Kind = TypeVar("Kind", bound=AnyContract)


def read_contract(path: Path) -> Contract:
    """Read what an ONNX file of an embedding promises.

    Raises
    ------
    BadInput
        If it cannot be read, or is truncated or no ONNX at all.
    ContractMismatch
        If it carries no contract of this version, or a refiner's, or is of another opset than its contract says.
    """
    metadata, opset = _metadata(path)
    return _checked(Contract.from_metadata(metadata, path), opset, path)


def read_refiner_contract(path: Path) -> RefinerContract:
    """Read what an ONNX file of a refiner promises; raises as `read_contract` does."""
    metadata, opset = _metadata(path)
    return _checked(RefinerContract.from_metadata(metadata, path), opset, path)


def read_any_contract(path: Path) -> AnyContract:
    """Read what an ONNX file of either network promises; raises as `read_contract` does."""
    metadata, opset = _metadata(path)
    return _checked(any_contract(contract_text(metadata, path)), opset, path)


def has_open_batch(path: Path) -> bool:
    """Tell whether the first axis of a model's first input may have any length; of a file that `read_contract` took."""
    value = path.read_bytes()
    for number in (GRAPH, INPUT, TYPE, TENSOR, SHAPE, DIMENSION):
        value = next((inner for field, inner in _fields(value) if field == number), b"")
    return any(field == NAMED for field, _ in _fields(value))


def _checked(contract: Kind, opset: int | None, path: Path) -> Kind:
    if opset != contract.opset:
        raise ContractMismatch(
            f"{path}: is of opset {opset}, its contract says {contract.opset}; something changed it: export it again"
        )
    return contract


def _metadata(path: Path) -> tuple[dict[str, str], int | None]:
    """The file's metadata, and the opset of its operators."""
    try:
        parts = list(_fields(path.read_bytes()))
        entries = [dict(_fields(value)) for field, value in parts if field == METADATA]
        metadata = {entry[KEY].decode(): entry[VALUE].decode() for entry in entries}
        operators = [dict(_fields(value)) for field, value in parts if field == OPERATORS]
        return metadata, next((int(entry[OPSET]) for entry in operators if not entry.get(DOMAIN)), None)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a whole ONNX file; copy it again, or export it again") from error


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield each field's number, with its bytes or its integer; raises ValueError or IndexError on nonsense."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if kind == EIGHT_BYTES else 4
        elif kind == COUNTED:
            size, at = _varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")
    if at != len(message):
        raise ValueError("truncated")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a position, seven bits a byte, and the position after it."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
