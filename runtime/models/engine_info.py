"""What lies beside an engine as `NAME.engine.json`: for which machine and of which model it was built."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .._support.files import sha256_of, write_json
from ..errors import BadInput, ContractMismatch
from .contract import AnyContract, any_contract


@dataclass(frozen=True)
class Machine:
    """What an engine is tied to.

    gpu : the GPU's name
    compute_capability : as in 8.7
    tensorrt : version
    """

    gpu: str
    compute_capability: str
    tensorrt: str


@dataclass(frozen=True)
class Sidecar:
    """The description of one engine file.

    contract : of the ONNX file that it was built from
    machine : that built it
    onnx : name of that file
    onnx_sha256, engine_sha256 : digests of both files
    """

    contract: AnyContract
    machine: Machine
    onnx: str
    onnx_sha256: str
    engine_sha256: str


def sidecar_path(engine: Path) -> Path:
    return engine.with_name(f"{engine.name}.json")


def write_sidecar(sidecar: Sidecar, engine: Path) -> None:
    """Write the description beside an engine, whole."""
    write_json(sidecar_path(engine), asdict(sidecar))


def read_sidecar(engine: Path) -> Sidecar:
    """Read the description beside an engine.

    Raises
    ------
    ContractMismatch
        If there is none, or another version wrote it.
    """
    path = sidecar_path(engine)
    try:
        content = json.loads(path.read_text())
        return Sidecar(
            **content
            | {
                "contract": any_contract(json.dumps(content["contract"])),
                "machine": Machine(**content["machine"]),
            }
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractMismatch(
            f"{engine}: its description {path.name} cannot be read ({error}); an engine is loaded only "
            "with it: copy both, or build the engine again with `shls export MODEL.onnx --format engine`"
        ) from error


def check_engine(engine: Path, machine: Machine) -> Sidecar:
    """Compare an engine's description with the file and this machine; the engine is not deserialised.

    Raises
    ------
    BadInput
        If the engine is truncated, or not the one described.
    ContractMismatch
        If another GPU or another TensorRT built it; names both sides and the command that builds it here.
    """
    sidecar = read_sidecar(engine)
    if sha256_of(engine) != sidecar.engine_sha256:
        raise BadInput(
            f"{engine}: not the file that its description is of, perhaps truncated; {_rebuild(sidecar, engine)}"
        )
    if sidecar.machine != machine:
        raise ContractMismatch(
            f"{engine}: built for {_words(sidecar.machine)}; this is {_words(machine)}; {_rebuild(sidecar, engine)}"
        )
    return sidecar


def _words(machine: Machine) -> str:
    return f"{machine.gpu} (compute capability {machine.compute_capability}) with TensorRT {machine.tensorrt}"


def _rebuild(sidecar: Sidecar, engine: Path) -> str:
    return f"build it here with `shls export {sidecar.onnx} --format engine --out {engine}`"
