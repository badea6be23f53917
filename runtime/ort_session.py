"""ONNX models under onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shls.runtime.contract import Contract
from shls.runtime.errors import BadInput, ContractMismatch, MissingDependency

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingDependency("onnxruntime is not installed; run `pip install 'shls[cpu]'`") from error


class OrtSession:
    """A model on the CPU; see `shls.runtime.session.Session`.

    Parameters
    ----------
    model : path of an ONNX file
    threads : of onnxruntime's pool, 0 for all cores
    """

    def __init__(self, model: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise BadInput(
                f"{model}: onnxruntime cannot open it ({_first_line(error)}); export it again"
            ) from error
        self.contract = _contract_of(model, self._session)
        self.backend = f"onnxruntime {onnxruntime.__version__}, {self._session.get_providers()[0]}"

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """(1, 3, height, width) float32 -> (D, h, w) float32, unit length along D."""
        (features,) = self._session.run([self.contract.output], {self.contract.input: tensor})
        return np.asarray(features[0])


def _contract_of(model: Path, session: onnxruntime.InferenceSession) -> Contract:
    contract = Contract.from_metadata(session.get_modelmeta().custom_metadata_map, model)
    expected = [1, 3, contract.height, contract.width]
    actual = {i.name: i.shape for i in session.get_inputs()}.get(contract.input)
    if actual != expected:
        raise ContractMismatch(
            f"{model}: input {contract.input} has shape {actual}, its contract says {expected}"
        )
    return contract


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
