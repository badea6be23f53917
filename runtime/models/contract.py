"""Contract between exporter and runtime; it travels as JSON in the metadata of an ONNX file and beside an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import BadInput, ContractMismatch
from .settings import Settings

VERSION = 2
READ = (1, VERSION)
"""Versions that are read. Version 1 carries settings of superpixels and memory only; the others take defaults."""

METADATA_KEY = "shls.contract"
EMBEDDING, REFINER, PROMPTER = "embedding", "refiner", "prompter"
"""Roles of a network: an embedding describes frames, a refiner decides pixels, a prompter finds what a user marks."""

ONNX_OPSET = 18
"""Operator set of every graph that is written and read."""

SIZE_MULTIPLE = 16
"""The side of a crop is a multiple of the coarsest stride of a refiner."""

PIXEL_MEAN = (127.5, 127.5, 127.5)
PIXEL_STD = (64.0, 64.0, 64.0)

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Head:
    """Projection applied after pooling; shls-edge has none.

    A superfeature is ``relu(mean + [area, row, column] @ info + bias) @ fusion + shift``. Area, mean row and mean
    column of the superpixel are ratios of the frame's.

    Parameters
    ----------
    info : (3, C)
    bias : (C,)
        C is the number of channels of the map.
    fusion : (C, D)
    shift : (D,)

    Examples
    --------
    >>> head = Head(info=((0.0,), (0.0,), (0.0,)), bias=(0.0,), fusion=((1.0,),), shift=(0.0,))
    >>> Contract("example", 32, 32, 1, "", head=head).channels
    1
    """

    info: tuple[Numbers, ...]
    bias: Numbers
    fusion: tuple[Numbers, ...]
    shift: Numbers


@dataclass(frozen=True)
class RefinerContract:
    """Contract of a refiner; `shls.runtime.refinement.crops` describes the tensors.

    Examples
    --------
    >>> contract = RefinerContract("shls-edge-refiner", 224, 11, 64, "", "")
    >>> contract.inputs["features"]
    (64, 56, 56)
    """

    network: str  # shls-edge-refiner
    size: int  # S, side of a crop, pixels
    channels: int  # C, channels of a crop
    dim: int  # D, length of the embedding's superfeatures
    checkpoint_sha256: str
    embedding_sha256: str  # checkpoint_sha256 of the embedding that it was trained with
    stride: int = 4  # crop pixels per cell of the features
    past: bool = False  # whether it also reads the reference frame and the previous frame
    crops: str = "crops"  # (V, C, S, S) float32, any V
    features: str = "features"  # (V, D, S / stride, S / stride) float32; 3 D with the past
    output: str = "logits"  # (V, S, S) float32
    precision: str = "fp32"
    opset: int = ONNX_OPSET
    tools: dict[str, str] = field(default_factory=dict)  # name -> version of the software that wrote the file
    version: int = VERSION
    role: str = REFINER

    @property
    def inputs(self) -> dict[str, tuple[int, int, int]]:
        """Shapes of one object's inputs by name."""
        side = self.size // self.stride
        return {
            self.crops: (self.channels, self.size, self.size),
            self.features: (3 * self.dim if self.past else self.dim, side, side),
        }

    def to_json(self) -> str:
        """Return the contract as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_metadata(metadata: Mapping[str, str], path: Path) -> RefinerContract:
        """Read the contract in the metadata of an ONNX file; see `from_json` for errors."""
        return RefinerContract.from_json(contract_text(metadata, path))

    @staticmethod
    def from_json(text: str) -> RefinerContract:
        """Read a contract.

        Raises
        ------
        ContractMismatch
            If it has an unknown version, is incomplete, or is not the contract of a refiner.
        """
        return _complete(text, RefinerContract, "a refiner")


def smaller_sizes(contract: RefinerContract) -> tuple[int, ...]:
    """Return smaller sides of crops, in pixels, that a refiner reads as well: half and 0.7 times its own.

    A refiner with a past has none, because its marks are cut at one size.

    Examples
    --------
    >>> smaller_sizes(RefinerContract("shls-edge-refiner", 224, 11, 64, "", ""))
    (112, 160)
    """
    sizes = {int(contract.size * ratio) // SIZE_MULTIPLE * SIZE_MULTIPLE for ratio in (0.5, 0.72)}
    return () if contract.past else tuple(sorted(sizes - {0, contract.size}))


@dataclass(frozen=True)
class PrompterContract:
    """Contract of a prompter; `shls.runtime.prompts.crop` describes the tensors.

    Examples
    --------
    >>> PrompterContract("shls-edge-prompter", 192, 7, 64, "", "").inputs["features"]
    (67, 48, 48)
    """

    network: str  # shls-edge-prompter
    size: int  # S, side of a crop, pixels
    channels: int  # C, channels of a crop
    dim: int  # D, channels of the embedding's map
    checkpoint_sha256: str
    embedding_sha256: str  # checkpoint_sha256 of the embedding that it was trained with
    similarities: int = 3  # channels of the features after the D channels of the map
    stride: int = 4  # crop pixels per cell of the features
    crops: str = "crops"  # (V, C, S, S) float32
    features: str = "features"  # (V, D + similarities, S / stride, S / stride) float32
    output: str = "logits"  # (V, S / 2, S / 2) float32
    precision: str = "fp32"
    opset: int = ONNX_OPSET
    tools: dict[str, str] = field(default_factory=dict)  # name -> version of the software that wrote the file
    version: int = VERSION
    role: str = PROMPTER

    @property
    def inputs(self) -> dict[str, tuple[int, int, int]]:
        """Shapes of one prompt's inputs by name."""
        side = self.size // self.stride
        return {
            self.crops: (self.channels, self.size, self.size),
            self.features: (self.dim + self.similarities, side, side),
        }

    def to_json(self) -> str:
        """Return the contract as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_metadata(metadata: Mapping[str, str], path: Path) -> PrompterContract:
        """Read the contract in the metadata of an ONNX file; see `from_json` for errors."""
        return PrompterContract.from_json(contract_text(metadata, path))

    @staticmethod
    def from_json(text: str) -> PrompterContract:
        """Read a contract.

        Raises
        ------
        ContractMismatch
            If it has an unknown version, is incomplete, or is not the contract of a prompter.
        """
        return _complete(text, PrompterContract, "a prompter")


CropContract = TypeVar("CropContract", RefinerContract, PrompterContract)


@dataclass(frozen=True)
class Contract:
    """Contract of an embedding.

    Examples
    --------
    >>> contract = Contract("shls-edge", height=480, width=864, dim=64, checkpoint_sha256="")
    >>> contract.inputs, contract.channels
    ({'image': (3, 480, 864)}, 64)
    >>> Contract.from_json(contract.to_json()) == contract
    True
    """

    network: str  # shls-edge
    height: int  # of the network's input, pixels
    width: int
    dim: int  # D, length of a superfeature
    checkpoint_sha256: str
    stride: int = 4  # input pixels per cell of the feature map
    input: str = "image"  # (1, 3, height, width) float32
    output: str = "features"  # (1, C, height / stride, width / stride) float32, unit length without a head
    colour: str = "RGB"
    mean: tuple[float, float, float] = PIXEL_MEAN  # of pixels 0..255, per colour
    std: tuple[float, float, float] = PIXEL_STD
    precision: str = "fp32"
    opset: int = ONNX_OPSET
    tools: dict[str, str] = field(default_factory=dict)  # name -> version of the software that wrote the file
    settings: Settings = Settings()  # tuned numbers of all stages
    head: Head | None = None  # without one, superfeatures are pooled cells, and the map has D channels
    version: int = VERSION
    role: str = EMBEDDING

    @property
    def inputs(self) -> dict[str, tuple[int, int, int]]:
        """Shape of one frame's input by name."""
        return {self.input: (3, self.height, self.width)}

    @property
    def channels(self) -> int:
        """C, the number of channels of the map."""
        return self.dim if self.head is None else len(self.head.bias)

    def to_json(self) -> str:
        """Return the contract as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_metadata(metadata: Mapping[str, str], path: Path) -> Contract:
        """Read the contract in the metadata of an ONNX file; see `from_json` for errors."""
        return Contract.from_json(contract_text(metadata, path))

    @staticmethod
    def from_json(text: str) -> Contract:
        """Read a contract.

        Raises
        ------
        ContractMismatch
            If it has an unknown version, is incomplete, or is not the contract of an embedding.
        """
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
            raise ContractMismatch(
                f"contract of an embedding: incomplete or out of range ({error}). Export the model again"
            ) from error


AnyContract = Contract | RefinerContract | PrompterContract


def any_contract(text: str) -> AnyContract:
    """Read the contract of a network of any role; raises ContractMismatch like `Contract.from_json`.

    Examples
    --------
    >>> any_contract(RefinerContract("shls-edge-refiner", 224, 11, 64, "", "").to_json()).role
    'refiner'
    """
    try:
        role = json.loads(text).get("role")
    except (ValueError, AttributeError):
        role = EMBEDDING  # its reader reports what is wrong
    if role == PROMPTER:
        return PrompterContract.from_json(text)
    return RefinerContract.from_json(text) if role == REFINER else Contract.from_json(text)


def contract_text(metadata: Mapping[str, str], path: Path) -> str:
    """Return the contract's JSON in the metadata of an ONNX file.

    Raises
    ------
    ContractMismatch
        If there is none.

    Examples
    --------
    >>> contract_text({"shls.contract": "{}"}, Path("edge.onnx"))
    '{}'
    """
    if METADATA_KEY not in metadata:
        raise ContractMismatch(f"{path}: has no shls contract (it was not written by `shls export`). Export the model")
    return metadata[METADATA_KEY]


def _head(values: dict[str, Any] | None) -> Head | None:
    if values is None:
        return None
    rows = {name: tuple(map(tuple, values[name])) for name in ("info", "fusion")}
    return Head(**values | rows | {name: tuple(values[name]) for name in ("bias", "shift")})


def _complete(text: str, kind: type[CropContract], name: str) -> CropContract:
    """Parse the contract of a network that reads crops."""
    try:
        return kind(**_values(text, kind))
    except TypeError as error:
        raise ContractMismatch(f"contract of {name}: incomplete ({error}). Export the model again") from error


def _values(text: str, kind: type[Contract] | type[RefinerContract] | type[PrompterContract]) -> dict[str, Any]:
    """Parse a contract and check role, version and field names."""
    try:
        values: dict[str, Any] = json.loads(text)
        version, role = values.get("version"), values.get("role", EMBEDDING)
    except (ValueError, AttributeError) as error:
        raise ContractMismatch(f"contract: not a JSON object ({error}). Export the model again") from error
    if role != kind.role:
        raise ContractMismatch(f"contract: wrong role (got {role!r}, expected {kind.role!r}). Give the other file")
    if version == 1 and kind is Contract:
        values["settings"] = {name: values.pop(name) for name in ("superpixels", "memory") if name in values}
    if version not in READ or not values.keys() <= {f.name for f in fields(kind)}:
        writer = values.get("tools", {}).get("shls", "another version of shls")
        raise ContractMismatch(
            f"contract: unknown version (got {version} of shls {writer}, expected {' or '.join(map(str, READ))}). "
            "Install that version of shls, or export the model again with `shls export`"
        )
    return values | {"version": VERSION}
