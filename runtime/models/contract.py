"""What the exporter and the runtime agree on. It travels in the ONNX file's metadata as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import BadInput, ContractMismatch
from .settings import Settings

VERSION = 2
READ = (1, VERSION)
"""Versions that are read. Version 1 carries no settings but those of superpixels and memory; others take defaults."""
METADATA_KEY = "shls.contract"
EMBEDDING, REFINER = "embedding", "refiner"
"""Roles of a network: one describes frames, the other decides pixels."""

ONNX_OPSET = 18
"""Of every graph that is written and read."""
PIXEL_MEAN = (127.5, 127.5, 127.5)
PIXEL_STD = (64.0, 64.0, 64.0)


Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Head:
    """What turns a pooled superpixel into its superfeature, in networks whose superfeature is not the mean itself.

    ``relu(mean + [area, row, column] @ info + bias) @ fusion + shift``; area, row and column as shares of the frame.

    Attributes
    ----------
    info : (3, C)
    bias : (C,), C channels of the map
    fusion : (C, D)
    shift : (D,)
    """

    info: tuple[Numbers, ...]
    bias: Numbers
    fusion: tuple[Numbers, ...]
    shift: Numbers


@dataclass(frozen=True)
class RefinerContract:
    """Everything the runtime must know of a refiner; see `shls.runtime.refinement.crops` for what its tensors hold."""

    network: str  # shls-edge-refiner
    size: int  # S, side of a crop, pixels
    channels: int  # C, of a crop
    dim: int  # D, of the embedding that it was trained with
    checkpoint_sha256: str
    embedding_sha256: str  # checkpoint_sha256 of that embedding
    stride: int = 4  # pixels of a crop per cell of its features
    past: bool = (
        False  # whether it reads the marked frame and the last one, too; see `shls.runtime.refinement.reference_frames`
    )
    crops: str = "crops"  # (V, C, S, S) float32, any V
    features: str = "features"  # (V, D, S / stride, S / stride) float32; 3 D with the past
    output: str = "logits"  # (V, S, S) float32
    precision: str = "fp32"
    opset: int = ONNX_OPSET
    tools: dict[str, str] = field(default_factory=dict)
    version: int = VERSION
    role: str = REFINER

    @property
    def inputs(self) -> dict[str, tuple[int, int, int]]:
        """Shapes of what is read of one object, by name."""
        side = self.size // self.stride
        return {
            self.crops: (self.channels, self.size, self.size),
            self.features: (3 * self.dim if self.past else self.dim, side, side),
        }

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_metadata(metadata: Mapping[str, str], path: Path) -> RefinerContract:
        """Read it from an ONNX file's metadata; raises ContractMismatch if there is none of this version."""
        return RefinerContract.from_json(contract_text(metadata, path))

    @staticmethod
    def from_json(text: str) -> RefinerContract:
        """Read a contract; raises ContractMismatch if another version wrote it or it is not one of a refiner."""
        values = _values(text, RefinerContract)
        try:
            return RefinerContract(**values)
        except TypeError as error:
            raise ContractMismatch(f"the refiner's contract is incomplete ({error}); export it again") from error


@dataclass(frozen=True)
class Contract:
    """Everything the runtime must know of a model; see the attributes' comments for units."""

    network: str  # shls-edge
    height: int  # of the network's input, pixels
    width: int
    dim: int  # D, length of a superfeature
    checkpoint_sha256: str
    stride: int = 4  # input pixels per cell of the feature map
    input: str = "image"  # (1, 3, height, width) float32
    output: str = "features"  # (1, C, height / stride, width / stride) float32, unit length where there is no head
    colour: str = "RGB"
    mean: tuple[float, float, float] = PIXEL_MEAN  # of pixels 0..255, per colour
    std: tuple[float, float, float] = PIXEL_STD
    precision: str = "fp32"
    opset: int = ONNX_OPSET
    tools: dict[str, str] = field(default_factory=dict)  # name -> version, what wrote the file
    settings: Settings = Settings()  # tuned numbers of all stages
    head: Head | None = None  # without one, superfeatures are pooled cells, and the map has D channels
    version: int = VERSION
    role: str = EMBEDDING

    @property
    def inputs(self) -> dict[str, tuple[int, int, int]]:
        """Shape of what is read of one frame, by name."""
        return {self.input: (3, self.height, self.width)}

    @property
    def channels(self) -> int:
        """C, of the map."""
        return self.dim if self.head is None else len(self.head.bias)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_metadata(metadata: Mapping[str, str], path: Path) -> Contract:
        """Read it from an ONNX file's metadata; raises ContractMismatch if there is none of this version."""
        return Contract.from_json(contract_text(metadata, path))

    @staticmethod
    def from_json(text: str) -> Contract:
        """Read a contract; raises ContractMismatch if another version wrote it or it is not one of an embedding."""
        values = _values(text, Contract)
        try:
            return Contract(
                **values
                | {
                    "mean": tuple(values["mean"]),
                    "std": tuple(values["std"]),
                    "settings": Settings.from_dict(values["settings"]),
                    "head": _head(values.get("head")),
                }
            )
        except (TypeError, KeyError, BadInput) as error:
            raise ContractMismatch(f"the model's contract is incomplete ({error}); export the model again") from error


AnyContract = Contract | RefinerContract


def any_contract(text: str) -> AnyContract:
    """Read the contract of a network of whichever role; raises ContractMismatch as the others do."""
    try:
        role = json.loads(text).get("role")
    except (ValueError, AttributeError):
        role = EMBEDDING  # whose reader says what is wrong
    return RefinerContract.from_json(text) if role == REFINER else Contract.from_json(text)


def _head(values: dict[str, Any] | None) -> Head | None:
    if values is None:
        return None
    rows = {name: tuple(map(tuple, values[name])) for name in ("info", "fusion")}
    return Head(**values | rows | {name: tuple(values[name]) for name in ("bias", "shift")})


def contract_text(metadata: Mapping[str, str], path: Path) -> str:
    """A contract of whichever role, as it lies in an ONNX file's metadata; raises ContractMismatch without one."""
    if METADATA_KEY not in metadata:
        raise ContractMismatch(f"{path}: carries no shls contract; it was not written by `shls export`")
    return metadata[METADATA_KEY]


def _values(text: str, kind: type[Contract] | type[RefinerContract]) -> dict[str, Any]:
    """Fields of a contract of one kind, checked."""
    try:
        values: dict[str, Any] = json.loads(text)
        version, role = values.get("version"), values.get("role", EMBEDDING)
    except (ValueError, AttributeError) as error:
        raise ContractMismatch(f"the model's contract is not JSON ({error}); export the model again") from error
    if role != kind.role:
        raise ContractMismatch(f"the model's role is {role!r}, expected {kind.role!r}; give the other file")
    if version == 1 and kind is Contract:
        values["settings"] = {name: values.pop(name) for name in ("superpixels", "memory") if name in values}
    if version not in READ or not values.keys() <= {f.name for f in fields(kind)}:
        writer = values.get("tools", {}).get("shls", "another version of shls")
        raise ContractMismatch(
            f"contract: unknown version (got {version} of shls {writer}, expected {' or '.join(map(str, READ))}). "
            "Install that version of shls, or export the model again with `shls export`"
        )
    return values | {"version": VERSION}
