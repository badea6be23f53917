"""Networks as ONNX models under onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..models.contract import smaller_sizes
from ..models.onnx_reader import read_contract, read_prompter_contract, read_refiner_contract
from ..models.resize import open_sizes
from ..types import Crops
from ._outputs import check_finite
from .ort_session import CPU_PROVIDER, backend_of, create_session, runs_on_cpu


class OrtSession:
    """An embedding on the CPU or a GPU; see `shls.runtime.backends.base.Session`.

    Parameters
    ----------
    model : path of an ONNX file
    threads : CPU threads of the network, 0 for all cores
    device : cpu, cuda, tensorrt or auto, see `shls.runtime.backends.base.open_session`

    Examples
    --------
    >>> import numpy as np
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> session = OrtSession(SHIPPED_MODEL, threads=1, device="cpu")
    >>> shape = 1, 3, session.contract.height, session.contract.width
    >>> session.run(np.zeros(shape, np.float32)).shape
    (64, 120, 216)
    """

    def __init__(self, model: Path, threads: int = 0, device: str = "auto") -> None:
        self.contract = read_contract(model)
        self._path, self._session = model, create_session(model, threads, device)
        self.backend = backend_of(self._session)
        self.on_gpu = self._session.get_providers()[0] != CPU_PROVIDER

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """Compute the feature map of a frame.

        Parameters
        ----------
        tensor : (1, 3, height, width) float32, normalised as the contract states

        Returns
        -------
        (C, h, w) float32, of unit length along C in networks without a head.

        Raises
        ------
        BadInput
            If the map holds NaN or infinity.
        """
        (features,) = self._session.run([self.contract.output], {self.contract.input: tensor})
        check_finite(features, self.contract, self._path)
        return np.asarray(features[0])


class OrtRefiner:
    """A refiner on the CPU or a GPU; see `shls.runtime.backends.base.Refiner`.

    Parameters
    ----------
    model : path of an ONNX file
    threads : CPU threads of the network, 0 for all cores
    device : cpu, cuda, tensorrt or auto, see `shls.runtime.backends.base.open_session`

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
    >>> OrtRefiner(ASSETS / EXACT_REFINER, threads=1, device="cpu").contract.network
    'shls-edge-refiner'
    """

    def __init__(self, model: Path, threads: int = 0, device: str = "auto") -> None:
        self.contract = read_refiner_contract(model)
        several = smaller_sizes(self.contract) if runs_on_cpu(device) else ()
        self._path = model
        self._session = create_session(model, threads, device, open_sizes(model) if several else None)
        self.sizes: tuple[int, ...] = (*several, self.contract.size)
        batch = self._session.get_inputs()[0].shape[0]
        self._at_once = batch if isinstance(batch, int) else None
        self.backend = backend_of(self._session)

    def run(self, crops: Crops) -> np.ndarray:
        """Compute a logit per pixel of each crop.

        Parameters
        ----------
        crops : V crops, V at least 1; more than the model takes at once run in several parts

        Returns
        -------
        (V, S, S) float32.

        Raises
        ------
        BadInput
            If the logits hold NaN or infinity.
        """
        at_once = self._at_once or len(crops.objects)
        parts = [slice(at, at + at_once) for at in range(0, len(crops.objects), at_once)]
        return np.concatenate([self._run(crops.images[part], crops.features[part], at_once) for part in parts])

    def _run(self, images: np.ndarray, features: np.ndarray, at_once: int) -> np.ndarray:
        """Run one part, filled up with zeros to the number of crops that the model takes."""
        missing = [(0, at_once - len(images)), (0, 0), (0, 0), (0, 0)]
        feeds = {self.contract.crops: np.pad(images, missing), self.contract.features: np.pad(features, missing)}
        (logits,) = self._session.run([self.contract.output], feeds)
        found = np.asarray(logits)[: len(images)]
        check_finite(found, self.contract, self._path)
        return found


class OrtPrompter:
    """A prompter on the CPU or a GPU; see `shls.runtime.backends.base.PromptNetwork`.

    Parameters
    ----------
    model : path of an ONNX file
    threads : CPU threads of the network, 0 for all cores
    device : cpu, cuda, tensorrt or auto, see `shls.runtime.backends.base.open_session`

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_PROMPTER
    >>> network = OrtPrompter(ASSETS / EXACT_PROMPTER, threads=1, device="cpu")
    >>> crop, features = (np.zeros(shape, np.float32) for shape in network.contract.inputs.values())
    >>> network.run(crop, features).ndim
    2
    """

    def __init__(self, model: Path, threads: int = 0, device: str = "auto") -> None:
        self.contract = read_prompter_contract(model)
        self._path, self._session = model, create_session(model, threads, device)
        self.backend = backend_of(self._session)

    def run(self, crop: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Compute the logits of one prompt.

        Parameters
        ----------
        crop : (C, S, S) float32
        features : (D + 3, s, s) float32

        Returns
        -------
        (S / 2, S / 2) float32.

        Raises
        ------
        BadInput
            If the logits hold NaN or infinity.
        """
        feeds = {self.contract.crops: crop[None], self.contract.features: features[None]}
        (logits,) = self._session.run([self.contract.output], feeds)
        check_finite(logits, self.contract, self._path)
        return np.asarray(logits[0])
