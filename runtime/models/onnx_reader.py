"""Read the contract from an ONNX file without onnx or onnxruntime, because a device may have TensorRT alone.

An ONNX file is a protobuf message. The field numbers below are those of onnx.proto: metadata is field 14, with entries
of a key (1) and a value (2). Operator sets are field 8, each with a domain (1, empty for ONNX's own) and a version (2).
The graph is field 7 and contains the names and shapes of inputs and outputs.
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
    PrompterContract,
    RefinerContract,
    any_contract,
    contract_text,
)

METADATA, KEY, VALUE = 14, 1, 2
OPERATORS, DOMAIN, OPSET = 8, 1, 2
GRAPH, INPUTS, OUTPUTS, NAME = 7, 11, 12, 1
TYPE, TENSOR, SHAPE, DIMENSION, LENGTH = 2, 1, 2, 1, 1
"""Fields of an input or output; each field is inside the previous one."""
VARINT, EIGHT_BYTES, COUNTED, FOUR_BYTES = 0, 1, 2, 5
"""Wire types of protobuf."""

Kind = TypeVar("Kind", bound=AnyContract)


def read_contract(path: Path) -> Contract:
    """Read the contract of an embedding.

    Parameters
    ----------
    path : ONNX file

    Raises
    ------
    BadInput
        If the file cannot be read, is truncated or is not ONNX.
    ContractMismatch
        If the file carries no contract of a known version, or the contract of a refiner. Also if its opset, inputs or
        outputs differ from its contract.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> contract = read_contract(SHIPPED_MODEL)
    >>> contract.network, contract.width, contract.height
    ('shls-edge', 864, 480)
    """
    parts = _parts(path)
    return _checked(Contract.from_metadata(parts.metadata, path), parts, path)


def read_refiner_contract(path: Path) -> RefinerContract:
    """Read the contract of a refiner; errors are those of `read_contract`.

    Parameters
    ----------
    path : ONNX file

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
    >>> read_refiner_contract(ASSETS / EXACT_REFINER).size
    224
    """
    parts = _parts(path)
    return _checked(RefinerContract.from_metadata(parts.metadata, path), parts, path)


def read_prompter_contract(path: Path) -> PrompterContract:
    """Read the contract of a prompter; errors are those of `read_contract`.

    Parameters
    ----------
    path : ONNX file

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_PROMPTER
    >>> read_prompter_contract(ASSETS / EXACT_PROMPTER).role
    'prompter'
    """
    parts = _parts(path)
    return _checked(PrompterContract.from_metadata(parts.metadata, path), parts, path)


def read_any_contract(path: Path) -> AnyContract:
    """Read the contract of a network of any role; errors are those of `read_contract`.

    Parameters
    ----------
    path : ONNX file

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> read_any_contract(SHIPPED_MODEL).role
    'embedding'
    """
    parts = _parts(path)
    return _checked(any_contract(contract_text(parts.metadata, path)), parts, path)


def has_open_batch(path: Path) -> bool:
    """Return True if the first axis of a model's inputs may have any length.

    Parameters
    ----------
    path : ONNX file

    Raises
    ------
    BadInput
        If the file cannot be read, is truncated or is not ONNX.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT, EXACT_REFINER
    >>> has_open_batch(ASSETS / EXACT), has_open_batch(ASSETS / EXACT_REFINER)
    (False, True)
    """
    return any(shape[0] is None for shape in _parts(path).inputs.values())


def _checked(contract: Kind, parts: _Parts, path: Path) -> Kind:
    if not parts.opset == contract.opset == ONNX_OPSET:
        raise ContractMismatch(
            f"{path}: wrong opset (got {parts.opset}, in its contract {contract.opset}, expected {ONNX_OPSET}). "
            "Export it again."
        )
    for has, told, what in (
        ({name: shape[1:] for name, shape in parts.inputs.items()}, contract.inputs, "inputs"),
        (parts.outputs, [contract.output], "outputs"),
    ):
        if has != told:
            raise ContractMismatch(
                f"{path}: {what} differ from its contract (got {has}, expected {told}). Export it again."
            )
    return contract


class _Parts(NamedTuple):
    """Metadata, opset, inputs as name -> shape (None for an open length), and names of the outputs."""

    metadata: dict[str, str]
    opset: int | None
    inputs: dict[str, tuple[int | None, ...]]
    outputs: list[str]


def _parts(path: Path) -> _Parts:
    try:
        parts = list(fields(path.read_bytes()))
        entries = [dict(fields(value)) for field, value in parts if field == METADATA]
        metadata = {entry[KEY].decode(): entry[VALUE].decode() for entry in entries}
        operators = [dict(fields(value)) for field, value in parts if field == OPERATORS]
        opset = next((int(entry[OPSET]) for entry in operators if not entry.get(DOMAIN)), None)
        graph = [part for field, value in parts if field == GRAPH for part in fields(value)]
        inputs = {_name(value): _shape(value) for field, value in graph if field == INPUTS}
        return _Parts(metadata, opset, inputs, [_name(value) for field, value in graph if field == OUTPUTS])
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}). Check the name and the permissions.") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a whole ONNX file. Copy it again, or export it again.") from error


def _name(tensor: bytes) -> str:
    return str(dict(fields(tensor))[NAME].decode())


def _shape(tensor: bytes) -> tuple[int | None, ...]:
    value = tensor
    for number in (TYPE, TENSOR, SHAPE):
        value = next((inner for field, inner in fields(value) if field == number), b"")
    return tuple(dict(fields(axis)).get(LENGTH) for field, axis in fields(value) if field == DIMENSION)


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the number of each field with its bytes or its integer; raises ValueError or IndexError if malformed."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield tag >> 3, value
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if kind == EIGHT_BYTES else 4
        elif kind == COUNTED:
            size, at = varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")
    if at != len(message):
        raise ValueError("truncated")


def varint(message: bytes, at: int) -> tuple[int, int]:
    """Decode the number at a position, seven bits per byte; return it and the next position."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
