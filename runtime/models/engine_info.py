"""Description of an engine, stored as `NAME.engine.json`: the machine and the model that it was built for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .._support.files import sha256_of, write_json
from ..errors import BadInput, ContractMismatch
from .contract import AnyContract, any_contract


@dataclass(frozen=True)
class Machine:
    """Hardware and software that an engine is tied to.

    Attributes
    ----------
    gpu : name of the GPU
    compute_capability : compute capability of the GPU, such as "8.7"
    tensorrt : version of TensorRT

    Examples
    --------
    >>> Machine("Orin", "8.7", "10.3.0") == Machine("Orin", "8.7", "10.7.0")
    False
    """

    gpu: str
    compute_capability: str
    tensorrt: str


@dataclass(frozen=True)
class Sidecar:
    """Description of one engine.

    Attributes
    ----------
    contract : contract of the ONNX file that the engine was built from
    machine : machine that built the engine
    onnx : name of the ONNX file
    onnx_sha256, engine_sha256 : digests of both files, hexadecimal

    Examples
    --------
    >>> read_sidecar(Path("shls-edge.engine")).machine.gpu  # doctest: +SKIP
    'Orin'
    """

    contract: AnyContract
    machine: Machine
    onnx: str
    onnx_sha256: str
    engine_sha256: str


def sidecar_path(engine: Path) -> Path:
    """Return the path of an engine's description.

    Examples
    --------
    >>> sidecar_path(Path("shls-edge.engine")).name
    'shls-edge.engine.json'
    """
    return engine.with_name(f"{engine.name}.json")


def write_sidecar(sidecar: Sidecar, engine: Path) -> None:
    """Write an engine's description into the engine's folder.

    Raises
    ------
    BadInput
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> from shls.runtime.models.onnx_reader import read_contract
    >>> machine = Machine("Orin", "8.7", "10.3.0")
    >>> description = Sidecar(read_contract(SHIPPED_MODEL), machine, SHIPPED_MODEL.name, "00", "11")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     engine = Path(folder, "net.engine")
    ...     write_sidecar(description, engine)
    ...     read_sidecar(engine) == description
    True
    """
    write_json(sidecar_path(engine), asdict(sidecar))


def read_sidecar(engine: Path) -> Sidecar:
    """Read an engine's description.

    Parameters
    ----------
    engine : path of the engine

    Raises
    ------
    ContractMismatch
        If there is no description, or it is of an unknown version.

    Examples
    --------
    >>> read_sidecar(Path("shls-edge.engine")).onnx  # doctest: +SKIP
    'shls-edge.onnx'
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ContractMismatch(
            f"{engine}: its description {path.name} cannot be read ({error}), and no engine is loaded without one. "
            "Copy both files, or build the engine again with `shls export MODEL.onnx --format engine`."
        ) from error


def check_engine(engine: Path, machine: Machine) -> Sidecar:
    """Compare an engine's description with the file and this machine; the engine is not deserialised.

    Parameters
    ----------
    engine : path of the engine
    machine : this machine

    Raises
    ------
    BadInput
        If the engine is truncated or is another file than the described one.
    ContractMismatch
        If another GPU or another version of TensorRT built the engine. The message names both machines and the command
        that builds the engine again.

    Examples
    --------
    >>> check_engine(Path("shls-edge.engine"), Machine("Orin", "8.7", "10.3.0")).onnx  # doctest: +SKIP
    'shls-edge.onnx'
    """
    sidecar = read_sidecar(engine)
    if sha256_of(engine) != sidecar.engine_sha256:
        raise BadInput(
            f"{engine}: another file than its description states, perhaps truncated. {_rebuild(sidecar, engine)}"
        )
    if sidecar.machine != machine:
        raise ContractMismatch(
            f"{engine}: built for another machine (got {_words(sidecar.machine)}, expected {_words(machine)}). "
            f"{_rebuild(sidecar, engine)}"
        )
    return sidecar


def _words(machine: Machine) -> str:
    return f"{machine.gpu} (compute capability {machine.compute_capability}) with TensorRT {machine.tensorrt}"


def _rebuild(sidecar: Sidecar, engine: Path) -> str:
    return f"Build it here with `shls export {sidecar.onnx} --format engine --out {engine}`."
