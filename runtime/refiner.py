"""The second network as the runtime sees it: crops of objects in, logits out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from shls.runtime.contract import RefinerContract
from shls.runtime.crops import Crops, Scene, cut_out, put_back
from shls.runtime.errors import BadInput
from shls.runtime.history import History


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


def open_refiner(model: Path, threads: int = 0, device: str = "auto") -> Refiner:
    """Load a refiner after its contract was checked; parameters and errors as `shls.runtime.session.open_session`."""
    if not model.exists():
        raise BadInput(f"{model}: no such refiner; export one with `shls export`, or leave --refiner out")
    if model.suffix == ".engine":
        if device in ("cpu", "cuda"):
            raise BadInput(f"{model}: an engine runs under TensorRT; leave --device {device} out, or give ONNX")
        from shls.runtime.trt_session import TrtRefiner

        return TrtRefiner(model)
    from shls.runtime.ort_refiner import OrtRefiner

    return OrtRefiner(model, threads, device)


def refine_objects(scene: Scene, ids: np.ndarray, refiner: Refiner, history: History | None) -> np.ndarray:
    """Probabilities on the grid with every visible object refined, (h, w, K + 1) float32.

    Parameters
    ----------
    scene : Scene
    ids : (K + 1,), of the columns of its planes
    refiner : Refiner
    history : of the objects, where the refiner reads it
    """
    if history is None:
        crops = cut_out(scene, refiner.contract.size, refiner.contract.stride)
    else:
        crops = history.cut_out(scene, ids)
    return put_back(crops, refiner.run(crops)) if len(crops.objects) else scene.planes
