"""The network as the runtime sees it: an image tensor in, a feature map out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from shls.runtime.contract import Contract
from shls.runtime.errors import BadInput


class Session(Protocol):
    """A loaded network. It owns the device's buffers and nothing else.

    Attributes
    ----------
    contract : what the model promises
    backend : what really runs it, in words
    """

    contract: Contract
    backend: str

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """(1, 3, height, width) float32 -> (D, h, w) float32, unit length along D."""


def open_session(model: Path, threads: int = 0) -> Session:
    """Load a model after its contract was checked.

    Parameters
    ----------
    model : path of an ONNX file written by `shls export`
    threads : CPU threads of the network, 0 for all cores

    Raises
    ------
    BadInput
        If there is no such file, or not one that this runtime can open.
    ContractMismatch
        If the file does not carry a contract of this version.
    MissingDependency
        If the inference engine is not installed.
    """
    if not model.exists():
        raise BadInput(
            f"{model}: no such model; export one with `shls export`, or leave --model out for the shipped one"
        )
    if model.suffix != ".onnx":
        raise BadInput(
            f"{model}: not a model this runtime opens; expected a .onnx file written by `shls export`"
        )
    from shls.runtime.ort_session import OrtSession

    return OrtSession(model, threads)
