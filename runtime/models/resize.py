"""A network's ONNX file for frames or crops of another size, without torch and without onnx.

The network is convolutional, so its weights fit any size. A file states its size in four places, which are rewritten:
the input, the output, the constant of the output's shape, and the contract. Shapes between the layers are optional in
ONNX and left out; the inference engine infers them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import BadInput
from .contract import METADATA_KEY, Contract
from .onnx_reader import (
    COUNTED,
    DIMENSION,
    EIGHT_BYTES,
    FOUR_BYTES,
    GRAPH,
    INPUTS,
    KEY,
    LENGTH,
    METADATA,
    OUTPUTS,
    SHAPE,
    TENSOR,
    TYPE,
    VALUE,
    VARINT,
    fields,
    read_contract,
    varint,
)

INITIALIZERS, BETWEEN = 5, 13
"""Fields of the graph: constants, and the shapes between the layers."""
RAW_DATA = 9
"""Field of a constant that holds its numbers."""
MULTIPLE = 32
"""Sides that every embedding takes are multiples of this, pixels."""

Change = Callable[[bytes], bytes | None]


def size_for(contract: Contract, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the input size of a contract's area and a frame's aspect ratio.

    Parameters
    ----------
    contract : Contract
    shape : (height, width) of the frames, pixels

    Returns
    -------
    Height and width, multiples of `MULTIPLE`.

    Examples
    --------
    >>> contract = Contract("shls-edge", height=480, width=864, dim=64, checkpoint_sha256="")
    >>> size_for(contract, (1920, 1080)), size_for(contract, (500, 500))
    ((864, 480), (640, 640))
    """
    area, ratio = contract.height * contract.width, shape[0] / shape[1]
    sides = (area * ratio) ** 0.5, (area / ratio) ** 0.5
    height, width = (max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE) for side in sides)
    return height, width


def resized(model: Path, height: int, width: int) -> bytes:
    """Return an embedding's ONNX file, of any precision, rewritten for another input size.

    Parameters
    ----------
    model : ONNX file
    height, width : multiples of `MULTIPLE`, pixels

    Raises
    ------
    BadInput
        If the file cannot be read, or a size is no multiple.
    ContractMismatch
        If the file carries no contract of an embedding.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> len(resized(SHIPPED_MODEL, 864, 480)) > 1_000_000
    True
    """
    if height % MULTIPLE or width % MULTIPLE or min(height, width) < MULTIPLE:
        raise BadInput(f"size: does not fit the network (got {width}x{height}, expected multiples of {MULTIPLE})")
    before = read_contract(model)
    after = replace(before, height=height, width=width)
    old, new = _output_shape(before), _output_shape(after)

    def constant(tensor: bytes) -> bytes:
        return _rewrite(tensor, {RAW_DATA: lambda data: _numbers(new) if data == _numbers(old) else data})

    def entry(message: bytes) -> bytes:
        if dict(fields(message))[KEY] != METADATA_KEY.encode():
            return message
        return _rewrite(message, {VALUE: lambda _: after.to_json().encode()})

    graph: dict[int, Change] = {
        INPUTS: lambda tensor: _with_shape(tensor, (1, 3, height, width)),
        OUTPUTS: lambda tensor: _with_shape(tensor, new),
        INITIALIZERS: constant,
        BETWEEN: lambda _: None,
    }
    return _rewrite(model.read_bytes(), {GRAPH: lambda message: _rewrite(message, graph), METADATA: entry})


def open_sizes(model: Path) -> bytes:
    """Return a refiner's ONNX file with height and width of inputs and outputs left open, so that it takes any size.

    Parameters
    ----------
    model : ONNX file

    Examples
    --------
    >>> import onnxruntime
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
    >>> onnxruntime.InferenceSession(open_sizes(ASSETS / EXACT_REFINER)).get_inputs()[0].shape
    ['objects', 11, None, None]
    """

    def opened(shape: bytes) -> bytes:
        axes = [axis for field, axis in fields(shape) if field == DIMENSION]
        return b"".join(_counted(DIMENSION, axis) for axis in [*axes[:-2], b"", b""])

    of_kind: Mapping[int, Change] = {TENSOR: lambda kind: _rewrite(kind, {SHAPE: opened})}
    of_tensor: Mapping[int, Change] = {TYPE: lambda kind: _rewrite(kind, of_kind)}
    graph: dict[int, Change] = {
        INPUTS: lambda tensor: _rewrite(tensor, of_tensor),
        OUTPUTS: lambda tensor: _rewrite(tensor, of_tensor),
        BETWEEN: lambda _: None,
    }
    return _rewrite(model.read_bytes(), {GRAPH: lambda message: _rewrite(message, graph)})


def _output_shape(contract: Contract) -> tuple[int, ...]:
    return 1, contract.channels, contract.height // contract.stride, contract.width // contract.stride


def _with_shape(tensor: bytes, shape: tuple[int, ...]) -> bytes:
    """Give the description of an input or output another shape."""
    axes = b"".join(_counted(DIMENSION, _encoded(LENGTH << 3 | VARINT) + _encoded(length)) for length in shape)
    of_type: Mapping[int, Change] = {TENSOR: lambda kind: _rewrite(kind, {SHAPE: lambda _: axes})}
    return _rewrite(tensor, {TYPE: lambda kind: _rewrite(kind, of_type)})


def _numbers(shape: tuple[int, ...]) -> bytes:
    """Encode a shape as the numbers of a constant, int64."""
    return struct.pack(f"<{len(shape)}q", *shape)


def _rewrite(message: bytes, changes: Mapping[int, Change]) -> bytes:
    """Copy a protobuf message; the contents of some fields pass through functions, which return None to drop one."""
    out, at = bytearray(), 0
    while at < len(message):
        begin = at
        tag, at = varint(message, at)
        kind, field = tag & 7, tag >> 3
        if kind == COUNTED:
            size, at = varint(message, at)
            content, at = message[at : at + size], at + size
            if field in changes:
                changed = changes[field](content)
                out += b"" if changed is None else _counted(field, changed)
                continue
        elif kind == VARINT:
            _, at = varint(message, at)
        else:
            at += {EIGHT_BYTES: 8, FOUR_BYTES: 4}[kind]
        out += message[begin:at]
    return bytes(out)


def _counted(field: int, content: bytes) -> bytes:
    return _encoded(field << 3 | COUNTED) + _encoded(len(content)) + content


def _encoded(number: int) -> bytes:
    """Encode a number of 0 or more, seven bits per byte."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
