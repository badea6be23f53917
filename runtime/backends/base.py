"""The network as the runtime sees it: an image tensor in, a feature map out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np

from .._support.files import sha256_of
from ..errors import BadInput
from ..models.contract import AnyContract, Contract, RefinerContract
from ..models.engine_info import read_sidecar
from ..models.onnx_reader import read_any_contract
from ..types import Crops


class Session(Protocol):
    """A loaded network. It owns the device's buffers and nothing else.

    Attributes
    ----------
    contract : what the model promises
    backend : what really runs it, in words
    on_gpu : whether the CPU is free while it runs
    """

    contract: Contract
    backend: str
    on_gpu: bool

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """(1, 3, height, width) float32 -> (D, h, w) float32, unit length along D."""


class Refiner(Protocol):
    """A loaded refiner. It owns the device's buffers and nothing else.

    Attributes
    ----------
    contract : what the model promises
    backend : what really runs it, in words
    """

    contract: RefinerContract
    backend: str

    def run(self, crops: Crops) -> np.ndarray:
        """Return a logit per pixel of each crop, (V, S, S) float32; V is at least 1."""


def open_session(model: Path, threads: int = 0, device: str = "auto") -> Session:
    """Load a model after its contract was checked.

    Parameters
    ----------
    model : path of an ONNX file, or of an engine, written by `shls export`
    threads : CPU threads of the network, 0 for all cores
    device : cpu, cuda, tensorrt or auto, what onnxruntime runs on; what is named never falls back to another

    Raises
    ------
    BadInput
        If there is no such file, or not one that this runtime can open.
    ContractMismatch
        If the file does not carry a contract of this version, or an engine was built for another machine.
    DeviceUnavailable
        If the device named is not there.
    MissingDependency
        If the inference engine is not installed.
    """
    if _is_engine(model):
        if device == "cpu" or device == "cuda":
            raise BadInput(f"{model}: an engine runs under TensorRT; leave --device {device} out, or give ONNX")
        from .trt import TrtSession

        return TrtSession(model)
    from .ort import OrtSession

    return OrtSession(model, threads, device)


def open_refiner(model: Path, threads: int = 0, device: str = "auto") -> Refiner:
    """Load a refiner after its contract was checked; parameters and errors as `open_session`."""
    if not model.exists():
        raise BadInput(f"{model}: no such refiner; export one with `shls export`, or leave --refiner out")
    if model.suffix == ".engine":
        if device in ("cpu", "cuda"):
            raise BadInput(f"{model}: an engine runs under TensorRT; leave --device {device} out, or give ONNX")
        from .trt import TrtRefiner

        return TrtRefiner(model)
    from .ort import OrtRefiner

    return OrtRefiner(model, threads, device)


def describe(model: Path) -> dict[str, object]:
    """Tell what a model promises, and of an engine also what it was built of and for.

    Needs no GPU and no inference engine; raises what `open_session` does.
    """
    if _is_engine(model):
        return asdict(read_sidecar(model))
    return {"contract": asdict(read_any_contract(model)), "onnx_sha256": sha256_of(model)}


def contract_of(model: Path) -> AnyContract:
    """What a model or an engine of either network promises; raises what `open_session` does."""
    return read_sidecar(model).contract if _is_engine(model) else read_any_contract(model)


def _is_engine(model: Path) -> bool:
    """Tell engines from ONNX; raises BadInput for what is neither."""
    if not model.exists():
        raise BadInput(
            f"{model}: no such model; export one with `shls export`, or leave --model out for the shipped one"
        )
    if model.suffix not in (".onnx", ".engine"):
        raise BadInput(f"{model}: not a model this runtime opens; expected .onnx or .engine of `shls export`")
    return model.suffix == ".engine"
