"""Refiners under onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shls.runtime.crops import Crops
from shls.runtime.onnx_metadata import read_refiner_contract
from shls.runtime.ort_session import backend_of, create_session


class OrtRefiner:
    """A refiner on the CPU or a GPU; see `shls.runtime.refiner.Refiner`.

    Parameters
    ----------
    model : path of an ONNX file
    threads : of onnxruntime's pool, 0 for all cores
    device : see `shls.runtime.session.open_session`
    """

    def __init__(self, model: Path, threads: int = 0, device: str = "auto") -> None:
        self.contract = read_refiner_contract(model)
        self._session = create_session(model, threads, device)
        batch = self._session.get_inputs()[0].shape[0]
        self._at_once = batch if isinstance(batch, int) else None
        self.backend = backend_of(self._session)

    def run(self, crops: Crops) -> np.ndarray:
        """Return a logit per pixel of each crop, (V, S, S) float32; V is at least 1."""
        at_once = self._at_once or len(crops.objects)
        parts = [slice(at, at + at_once) for at in range(0, len(crops.objects), at_once)]
        return np.concatenate([self._run(crops.images[part], crops.features[part], at_once) for part in parts])

    def _run(self, images: np.ndarray, features: np.ndarray, at_once: int) -> np.ndarray:
        """Run up to as many crops as the model takes, the missing ones as zeros."""
        missing = [(0, at_once - len(images)), (0, 0), (0, 0), (0, 0)]
        feeds = {self.contract.crops: np.pad(images, missing), self.contract.features: np.pad(features, missing)}
        (logits,) = self._session.run([self.contract.output], feeds)
        return np.asarray(logits)[: len(images)]
