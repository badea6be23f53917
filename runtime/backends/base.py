"""Load networks, whichever inference engine runs them: an image tensor in, a feature map out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np

from .._support.files import sha256_of
from ..errors import BadInput
from ..models.contract import AnyContract, Contract, PrompterContract, RefinerContract
from ..models.engine_info import read_sidecar
from ..models.onnx_reader import read_any_contract
from ..types import Crops


class Session(Protocol):
    """A loaded embedding network, which owns the device's buffers.

    Attributes
    ----------
    contract : shapes, precision and settings of the model
    backend : description of what really runs the network
    on_gpu : True if the CPU is free while the network runs

    Examples
    --------
    >>> import numpy as np
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> session: Session = open_session(SHIPPED_MODEL, threads=1, device="cpu")
    >>> shape = 1, 3, session.contract.height, session.contract.width
    >>> session.run(np.zeros(shape, np.float32)).dtype
    dtype('float32')
    """

    contract: Contract
    backend: str
    on_gpu: bool

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """Compute a feature map: (1, 3, height, width) float32 -> (C, h, w) float32.

        The map has unit length along C in networks without a head. Raises BadInput if it holds NaN or infinity.
        """


class Refiner(Protocol):
    """A loaded refiner network, which owns the device's buffers.

    Attributes
    ----------
    contract : shapes and precision of the model
    backend : description of what really runs the network
    sizes : sides S of the crops that the network takes, pixels, ascending; the last is the contract's

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
    >>> refiner: Refiner = open_refiner(ASSETS / EXACT_REFINER, threads=1, device="cpu")
    >>> refiner.contract.precision
    'fp32'
    """

    contract: RefinerContract
    backend: str
    sizes: tuple[int, ...]

    def run(self, crops: Crops) -> np.ndarray:
        """Compute a logit per pixel of V crops, V at least 1: (V, S, S) float32.

        Raises BadInput if a logit is NaN or infinite.
        """


class PromptNetwork(Protocol):
    """A loaded prompter network, which owns the device's buffers.

    Attributes
    ----------
    contract : shapes and precision of the model
    backend : description of what really runs the network

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_PROMPTER
    >>> network: PromptNetwork = open_prompter(ASSETS / EXACT_PROMPTER, threads=1, device="cpu")
    >>> network.contract.precision
    'fp32'
    """

    contract: PrompterContract
    backend: str

    def run(self, crop: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Compute the logits of one prompt: (C, S, S) and (D + 3, s, s) float32 -> (S / 2, S / 2) float32.

        Raises BadInput if a logit is NaN or infinite.
        """


def open_session(model: str | Path, threads: int = 0, device: str = "auto") -> Session:
    """Load an embedding network after a check of its contract.

    Parameters
    ----------
    model : path of an ONNX file, or of an engine, written by `shls export`
    threads : CPU threads of the network, limited to the usable cores; 0 for all cores
    device : cpu, cuda, tensorrt or auto, the device that onnxruntime runs on. A device named explicitly never falls
        back to another one; auto is CUDA where it starts, else the CPU

    Raises
    ------
    BadInput
        If the file is missing or of a kind that this runtime cannot open, or `threads` is negative.
    ContractMismatch
        If the file carries no contract of a known version, or an engine was built for another machine.
    DeviceUnavailable
        If the named device does not start.
    MissingDependency
        If the inference engine is not installed.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> session = open_session(SHIPPED_MODEL, threads=1, device="cpu")
    >>> session.contract.network, session.on_gpu
    ('shls-edge', False)
    """
    model = Path(model)
    if _is_engine(model, "model"):
        _check_engine_device(model, device)
        from .trt import TrtSession

        return TrtSession(model)
    from .ort import OrtSession

    return OrtSession(model, threads, device)


def open_refiner(model: str | Path, threads: int = 0, device: str = "auto") -> Refiner:
    """Load a refiner network after a check of its contract.

    Parameters and errors are those of `open_session`.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
    >>> open_refiner(ASSETS / EXACT_REFINER, threads=1, device="cpu").contract.network
    'shls-edge-refiner'
    """
    model = Path(model)
    if _is_engine(model, "refiner"):
        _check_engine_device(model, device)
        from .trt import TrtRefiner

        return TrtRefiner(model)
    from .ort import OrtRefiner

    return OrtRefiner(model, threads, device)


def open_prompter(model: str | Path, threads: int = 0, device: str = "auto") -> PromptNetwork:
    """Load a prompter network after a check of its contract.

    Parameters and errors are those of `open_session`.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_PROMPTER
    >>> open_prompter(ASSETS / EXACT_PROMPTER, threads=1, device="cpu").contract.network
    'shls-edge-prompter'
    """
    model = Path(model)
    if _is_engine(model, "prompter"):
        _check_engine_device(model, device)
        from .trt import TrtPrompter

        return TrtPrompter(model)
    from .ort import OrtPrompter

    return OrtPrompter(model, threads, device)


def describe(model: str | Path) -> dict[str, object]:
    """Return a model's contract, and for an engine also its source and its machine, as a dictionary.

    Neither a GPU nor an inference engine is needed. Errors are those of `open_session`.

    Parameters
    ----------
    model : path of an ONNX file or of an engine

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> sorted(describe(SHIPPED_MODEL))
    ['contract', 'onnx_sha256']
    """
    model = Path(model)
    if _is_engine(model, "model"):
        return asdict(read_sidecar(model))
    return {"contract": asdict(read_any_contract(model)), "onnx_sha256": sha256_of(model)}


def contract_of(model: str | Path) -> AnyContract:
    """Return the contract of a network of any role; errors are those of `open_session`.

    Parameters
    ----------
    model : path of an ONNX file or of an engine

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
    >>> contract_of(ASSETS / EXACT_REFINER).role
    'refiner'
    """
    model = Path(model)
    return read_sidecar(model).contract if _is_engine(model, "model") else read_any_contract(model)


def _is_engine(model: Path, option: str) -> bool:
    """Return True for an engine and False for ONNX; raises BadInput for a missing file or another suffix."""
    if not model.exists():
        raise BadInput(
            f"{model}: no such {option}. Export one with `shls export`, or leave --{option} out for the shipped one."
        )
    if model.suffix not in (".onnx", ".engine"):
        raise BadInput(
            f"{model}: not a model of this runtime (got {model.suffix or 'no suffix'}, expected .onnx or .engine). "
            "Give a file that `shls export` wrote."
        )
    return model.suffix == ".engine"


def _check_engine_device(engine: Path, device: str) -> None:
    if device in ("cpu", "cuda"):
        raise BadInput(
            f"{engine}: an engine runs under TensorRT (got --device {device}, expected tensorrt or auto). "
            f"Leave --device {device} out, or give an ONNX model."
        )
