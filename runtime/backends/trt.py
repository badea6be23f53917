"""Networks as engines under TensorRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ContractMismatch
from ..models.contract import Contract, RefinerContract
from ..models.engine_info import read_sidecar
from ..types import Crops
from .cudart import Cuda
from .trt_api import TensorRT
from .trt_engine import TrtEngine


class TrtSession:
    """An embedding on the GPU; see `shls.runtime.backends.base.Session`.

    Parameters and errors are those of `TrtEngine`; also ContractMismatch for an engine of a refiner.

    Examples
    --------
    >>> from pathlib import Path
    >>> session = TrtSession(Path("shls-edge.engine"))  # doctest: +SKIP
    >>> session.backend  # doctest: +SKIP
    'TensorRT 10.3.0 on Orin'
    """

    def __init__(self, engine: Path, trt: TensorRT | None = None, cuda: Cuda | None = None) -> None:
        contract = read_sidecar(engine).contract
        if not isinstance(contract, Contract):
            raise ContractMismatch(
                f"{engine}: wrong network (got an engine of a refiner, expected one of an embedding). "
                "Give it as --refiner."
            )
        self.contract = contract
        self._engine = TrtEngine(engine, trt, cuda)
        self.backend, self.on_gpu = self._engine.backend, True

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """Compute a feature map: (1, 3, height, width) float32 -> (C, h, w) float32."""
        features: np.ndarray = self._engine.run({self.contract.input: tensor})[0]
        return features

    @property
    def gpu_milliseconds(self) -> float:
        """Milliseconds of the last run on the GPU, see `TrtEngine`."""
        return self._engine.gpu_milliseconds

    def close(self) -> None:
        """Free the engine and its buffers; the session must not be used afterwards."""
        self._engine.close()


class TrtRefiner:
    """A refiner on the GPU; see `shls.runtime.backends.base.Refiner`.

    Parameters and errors are those of `TrtEngine`; also ContractMismatch for an engine of an embedding.

    Examples
    --------
    >>> from pathlib import Path
    >>> refiner = TrtRefiner(Path("shls-edge-refiner.engine"))  # doctest: +SKIP
    >>> refiner.contract.network  # doctest: +SKIP
    'shls-edge-refiner'
    """

    def __init__(self, engine: Path, trt: TensorRT | None = None, cuda: Cuda | None = None) -> None:
        contract = read_sidecar(engine).contract
        if not isinstance(contract, RefinerContract):
            raise ContractMismatch(
                f"{engine}: wrong network (got an engine of an embedding, expected one of a refiner). "
                "Give it as --model."
            )
        self.contract = contract
        self._engine = TrtEngine(engine, trt, cuda)
        self.backend = self._engine.backend

    def run(self, crops: Crops) -> np.ndarray:
        """Compute a logit per pixel of V crops, V at least 1: (V, S, S) float32.

        More crops than the engine takes at once run in several parts.
        """
        most = self._engine.most
        parts = [slice(at, at + most) for at in range(0, len(crops.objects), most)]
        return np.concatenate([self._run(crops.images[part], crops.features[part]) for part in parts])

    def close(self) -> None:
        """Free the engine and its buffers; the refiner must not be used afterwards."""
        self._engine.close()

    def _run(self, images: np.ndarray, features: np.ndarray) -> np.ndarray:
        return self._engine.run({self.contract.crops: images, self.contract.features: features})
