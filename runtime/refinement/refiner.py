"""Refinement of all visible objects by the second network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..backends.base import Refiner
from ..errors import ContractMismatch
from ..models.contract import Contract, RefinerContract
from ..models.settings import CropSettings
from .boxes import find_boxes
from .crops import Scene, cut_boxes, merge
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
    least = None if references is None else references.least_sides(ids)
    objects, boxes = find_boxes(scene.planes, scene.last, least, settings)
    parts = []
    chosen = crop_sizes(boxes, refiner.sizes, settings.detail)
    for size in np.unique(chosen).tolist():
        crops = cut_boxes(scene, objects[chosen == size], boxes[chosen == size], size, refiner.contract.stride)
        if references is not None:
            crops = references.extend(crops, ids)
        parts.append((crops, refiner.run(crops)))
    if not parts:
        return scene.planes
    refined = scene.planes.copy()  # a refiner may keep the crops, which refer to the planes
    merge(refined, parts)
    return refined


def crop_sizes(boxes: np.ndarray, sizes: Sequence[int], detail: float) -> np.ndarray:
    """Choose the size of each crop: the smallest that keeps the detail of its box.

    Parameters
    ----------
    boxes : (V, 4) int64
        See `find_boxes`.
    sizes : sequence of int
        Sides that the refiner takes, ascending.
    detail : float
        Crop pixels per cell of the grid that suffice.

    Returns
    -------
    (V,) int64

    Examples
    --------
    >>> crop_sizes(np.array([[0, 0, 70, 40], [0, 0, 200, 90]]), (112, 160, 224), 1.5)
    array([112, 224])
    """
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    at = np.searchsorted(sizes, detail * sides)
    return np.asarray(sizes, np.int64)[np.minimum(at, len(sizes) - 1)]
