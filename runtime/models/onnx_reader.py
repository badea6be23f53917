"""Reads the contract out of an ONNX file without onnx or onnxruntime: a device may have TensorRT alone.

An ONNX file is a protobuf message. By onnx.proto its metadata is field 14, entries of a key (1) and a value (2); its
operator sets are field 8, each of a domain (1, none for ONNX's own) and a version (2).
Its graph is field 7; the way from there to names and shapes of inputs and outputs is below.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..errors import BadInput, ContractMismatch
from .contract import (
    ONNX_OPSET,
    AnyContract,
    Contract,
    RefinerContract,
    any_contract,
    contract_text,
)

METADATA, KEY, VALUE = 14, 1, 2
OPERATORS, DOMAIN, OPSET = 8, 1, 2
GRAPH, INPUTS, OUTPUTS, NAME = 7, 11, 12, 1
TYPE, TENSOR, SHAPE, DIMENSION, LENGTH = 2, 1, 2, 1, 1  # of an input or output; each within the one before
VARINT, EIGHT_BYTES, COUNTED, FOUR_BYTES = 0, 1, 2, 5  # protobuf's wire types

Kind = TypeVar("Kind", bound=AnyContract)


def read_contract(path: Path) -> Contract:
    """Read what an ONNX file of an embedding promises.

    Raises
    ------
    BadInput
        If it cannot be read, or is truncated or no ONNX at all.
    ContractMismatch
        If it carries no contract of this version, or a refiner's, or if opset, inputs or outputs are not those of its
        contract.
    """
    parts = _parts(path)
    return _checked(Contract.from_metadata(parts.metadata, path), parts, path)


def read_refiner_contract(path: Path) -> RefinerContract:
    """Read what an ONNX file of a refiner promises; raises as `read_contract` does."""
    parts = _parts(path)
    return _checked(RefinerContract.from_metadata(parts.metadata, path), parts, path)


def read_any_contract(path: Path) -> AnyContract:
    """Read what an ONNX file of either network promises; raises as `read_contract` does."""
    parts = _parts(path)
    return _checked(any_contract(contract_text(parts.metadata, path)), parts, path)


def has_open_batch(path: Path) -> bool:
    """Tell whether the first axis of a model's inputs may have any length; raises BadInput as `read_contract` does."""
    return any(shape[0] is None for shape in _parts(path).inputs.values())


def _checked(contract: Kind, parts: _Parts, path: Path) -> Kind:
    if not parts.opset == contract.opset == ONNX_OPSET:
        raise ContractMismatch(
            f"{path}: is of opset {parts.opset}, its contract says {contract.opset}; expected {ONNX_OPSET}: "
            "export it again"
        )
    for has, told, what in (
        ({name: shape[1:] for name, shape in parts.inputs.items()}, contract.inputs, "inputs"),
        (parts.outputs, [contract.output], "outputs"),
    ):
        if has != told:
            raise ContractMismatch(
                f"{path}: has {what} {has}, its contract says {told}; something changed it: export it again"
            )
    return contract


class _Parts(NamedTuple):
    """What is read of a file: names and shapes of the inputs, None for a length that is open; names of the outputs."""

    metadata: dict[str, str]
    opset: int | None
    inputs: dict[str, tuple[int | None, ...]]
    outputs: list[str]


def _parts(path: Path) -> _Parts:
    try:
        parts = list(_fields(path.read_bytes()))
        entries = [dict(_fields(value)) for field, value in parts if field == METADATA]
        metadata = {entry[KEY].decode(): entry[VALUE].decode() for entry in entries}
        operators = [dict(_fields(value)) for field, value in parts if field == OPERATORS]
        opset = next((int(entry[OPSET]) for entry in operators if not entry.get(DOMAIN)), None)
        graph = [part for field, value in parts if field == GRAPH for part in _fields(value)]
        inputs = {_name(value): _shape(value) for field, value in graph if field == INPUTS}
        return _Parts(metadata, opset, inputs, [_name(value) for field, value in graph if field == OUTPUTS])
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a whole ONNX file; copy it again, or export it again") from error


def _name(tensor: bytes) -> str:
    return str(dict(_fields(tensor))[NAME].decode())


def _shape(tensor: bytes) -> tuple[int | None, ...]:
    value = tensor
    for number in (TYPE, TENSOR, SHAPE):
        value = next((inner for field, inner in _fields(value) if field == number), b"")
    return tuple(dict(_fields(axis)).get(LENGTH) for field, axis in _fields(value) if field == DIMENSION)


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
