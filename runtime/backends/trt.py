"""Networks as engines under TensorRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ContractMismatch
from ..models.contract import AnyContract, Contract, PrompterContract, RefinerContract
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
                f"{engine}: wrong network (got an engine of a {contract.role}, expected one of an embedding). "
                f"Give it as --{contract.role}."
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
                f"{engine}: wrong network (got an engine of {_named(contract)}, expected one of a refiner). "
                f"Give it as {_option(contract)}."
            )
        self.contract = contract
        self.sizes: tuple[int, ...] = (contract.size,)
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


class TrtPrompter:
    """A prompter on the GPU; see `shls.runtime.backends.base.PromptNetwork`.

    Parameters and errors are those of `TrtEngine`; also ContractMismatch for an engine of another network.

    Examples
    --------
    >>> from pathlib import Path
    >>> network = TrtPrompter(Path("shls-edge-prompter.engine"))  # doctest: +SKIP
    >>> network.contract.network  # doctest: +SKIP
    'shls-edge-prompter'
    """

    def __init__(self, engine: Path, trt: TensorRT | None = None, cuda: Cuda | None = None) -> None:
        contract = read_sidecar(engine).contract
        if not isinstance(contract, PrompterContract):
            raise ContractMismatch(
                f"{engine}: wrong network (got an engine of {_named(contract)}, expected one of a prompter). "
                f"Give it as {_option(contract)}."
            )
        self.contract = contract
        self._engine = TrtEngine(engine, trt, cuda)
        self.backend = self._engine.backend

    def run(self, crop: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Compute the logits of one prompt: (C, S, S) and (D + 3, s, s) float32 -> (S / 2, S / 2) float32."""
        logits: np.ndarray = self._engine.run(
            {self.contract.crops: crop[None], self.contract.features: features[None]}
        )[0]
        return logits

    def close(self) -> None:
        """Free the engine and its buffers; the prompter must not be used afterwards."""
        self._engine.close()


def _named(contract: AnyContract) -> str:
    return "an embedding" if isinstance(contract, Contract) else f"a {contract.role}"


def _option(contract: AnyContract) -> str:
    return "--model" if isinstance(contract, Contract) else f"--{contract.role}"
