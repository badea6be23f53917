"""Refinement of all visible objects by the second network."""

from __future__ import annotations

import numpy as np

from ..backends.base import Refiner
from ..models.settings import CropSettings
from .crops import Scene, cut_out, put_back
from .reference_frames import ReferenceFrames


def refine_objects(
    scene: Scene,
    ids: np.ndarray,
    refiner: Refiner,
    history: ReferenceFrames | None,
    settings: CropSettings = CropSettings(),
) -> np.ndarray:
    """Refine every visible object and return probabilities on the grid, (h, w, K + 1) float32.

    Parameters
    ----------
    scene : Scene
    ids : (K + 1,), of the columns of its planes
    refiner : Refiner
    history : of the objects, where the refiner reads it
    """
    if history is None:
        crops = cut_out(scene, refiner.contract.size, refiner.contract.stride, settings=settings)
    else:
        crops = history.cut_out(scene, ids)
    return put_back(crops, refiner.run(crops)) if len(crops.objects) else scene.planes
