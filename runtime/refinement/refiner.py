"""Refinement of all visible objects by the second network."""

from __future__ import annotations

import numpy as np

from ..backends.base import Refiner
from ..errors import ContractMismatch
from ..models.contract import Contract, RefinerContract
from ..models.settings import CropSettings
from .crops import Scene, cut_out, put_back
from .reference_frames import ReferenceFrames, channels


def check_pair(embedding: Contract, refiner: RefinerContract) -> None:
    """Check that a refiner belongs to an embedding; networks in training have no digest and belong to any.

    Raises
    ------
    ContractMismatch
        If the refiner was trained with another embedding, or reads other crops than this runtime cuts.

    Examples
    --------
    >>> embedding = Contract("shls-edge", 480, 864, 64, "aaa")
    >>> check_pair(embedding, RefinerContract("shls-edge-refiner", 224, 11, 64, "", "aaa"))
    >>> check_pair(embedding, RefinerContract("shls-edge-refiner", 224, 11, 64, "", "bbb"))
    Traceback (most recent call last):
        ...
    shls.runtime.errors.ContractMismatch: refiner: was trained with another embedding ...
    """
    if refiner.channels != channels(refiner.past):
        raise ContractMismatch(
            f"refiner: wrong number of crop channels (got {refiner.channels}, expected {channels(refiner.past)}). "
            "Export it again with the version of shls that is installed"
        )
    theirs, ours = refiner.embedding_sha256, embedding.checkpoint_sha256
    if refiner.dim != embedding.channels or (theirs and ours and theirs != ours):
        raise ContractMismatch(
            f"refiner: was trained with another embedding (got {theirs[:12]} of {refiner.dim} channels, expected "
            f"{ours[:12]} of {embedding.channels}). Use the two that belong together, or no refiner"
        )


def refine_objects(
    scene: Scene,
    ids: np.ndarray,
    refiner: Refiner,
    references: ReferenceFrames | None,
    settings: CropSettings = CropSettings(),
) -> np.ndarray:
    """Refine every visible object and return probabilities on the grid, (h, w, K + 1) float32.

    Parameters
    ----------
    scene : Scene
    ids : (K + 1,) int
        Object ids of the columns of `scene.planes`.
    refiner : Refiner
    references : ReferenceFrames, optional
        Given if the refiner reads the past.
    settings : CropSettings

    Returns
    -------
    (h, w, K + 1) float32
    """
    if references is None:
        crops = cut_out(scene, refiner.contract.size, refiner.contract.stride, settings=settings)
    else:
        crops = references.cut_out(scene, ids)
    return put_back(crops, refiner.run(crops)) if len(crops.objects) else scene.planes
