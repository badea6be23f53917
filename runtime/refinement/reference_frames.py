"""Reference frames: what a refiner with a past reads besides the crop; the published segmenter reads three frames.

If a contract says `past`, an object's crop has one more channel, the mask that the object was marked with. Its features
are three maps in a row. The first is that of this frame. The second is that of the previous frame, cut along the same
box. The third is that of the frame in which the object was marked, cut along its box there.

Mask and features of the marking are cut out once, so an object costs a few megabytes for any frame size and length.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..models.contract import RefinerContract
from ..models.settings import CropSettings
from ..types import Crops
from .boxes import box_of
from .crops import CHANNELS, cut_map


class Mark(NamedTuple):
    """Reference of one object.

    Parameters
    ----------
    features : (D, S / stride, S / stride) float32
        Cut along the object's box.
    mask : (S, S) float32
        0 to 1, cut along the same box.
    sides : (width, height)
        Of the box, cells of the grid.
    """

    features: np.ndarray
    mask: np.ndarray
    sides: tuple[int, int]


class ReferenceFrames:
    """References of all objects and the features of the previous frame.

    Parameters
    ----------
    contract : RefinerContract
        Of a refiner with a past.
    settings : CropSettings

    Examples
    --------
    >>> contract = RefinerContract("shls-r18-refiner", 32, 12, 4, "", "", past=True)
    >>> references = ReferenceFrames(contract)
    >>> labels = np.zeros((96, 96), np.uint8)
    >>> labels[20:60, 20:60] = 7
    >>> references.mark(np.zeros((4, 24, 24), np.float32), labels, np.array([7]), (48, 48))
    >>> references.forget(7)
    """

    def __init__(self, contract: RefinerContract, settings: CropSettings = CropSettings()) -> None:
        self._settings = settings
        self._size, self._stride = contract.size, contract.stride
        self._marks: dict[int, Mark] = {}
        self._last = np.zeros((0, 0, 0), np.float32)

    def mark(self, features: np.ndarray, labels: np.ndarray, ids: np.ndarray, grid: tuple[int, int]) -> None:
        """Store the references of new objects.

        Parameters
        ----------
        features : (D, h', w') float32
            Network map of the frame in which the objects were marked.
        labels : (H, W) uint8
            Object ids.
        ids : (n,) int
            Ids of the new objects, each present in `labels`.
        grid : (h, w)
            Size of the half-resolution grid.
        """
        for object_id in ids.tolist():
            here = cv2.resize((labels == object_id).astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA)
            box = np.array([box_of(here.sum(1), here.sum(0), settings=self._settings)], np.int64)
            left, top, right, bottom = box[0].tolist()
            self._marks[object_id] = Mark(
                cut_map(features, box, grid, self._size // self._stride)[0],
                cut_map(here[None], box, grid, self._size)[0, 0],
                (right - left, bottom - top),
            )
        self._last = features

    def forget(self, object_id: int) -> None:
        """Drop the reference of an object."""
        del self._marks[object_id]

    def pass_on(self, features: np.ndarray) -> None:
        """Keep the features of this frame, (D, h', w'), as those of the previous frame."""
        self._last = features

    def least_sides(self, ids: np.ndarray) -> np.ndarray:
        """Return the least width and height of each object's box, (K, 2) cells: those of the box when it was marked.

        Source: the published region of interest.

        Parameters
        ----------
        ids : (K + 1,) int
            Object ids; the first is 0.
        """
        return np.array([self._marks[object_id].sides for object_id in ids[1:].tolist()]).reshape(-1, 2)

    def extend(self, crops: Crops, ids: np.ndarray) -> Crops:
        """Add the past of each object to its crop.

        Parameters
        ----------
        crops : Crops
            Of the contract's size.
        ids : (K + 1,) int
            Object ids of the columns of `crops.planes`.
        """
        h, w = crops.planes.shape[:2]
        marks = [self._marks[object_id] for object_id in ids[crops.objects].tolist()]
        last = cut_map(self._last, crops.boxes, (h, w), self._size // self._stride)
        marked = np.stack([mark.features for mark in marks])
        return crops._replace(
            images=np.concatenate([crops.images, np.stack([mark.mask for mark in marks])[:, None]], axis=1),
            features=np.concatenate([crops.features, last, marked], axis=1),
        )


def channels(past: bool) -> int:
    """Return C, the number of crop channels of this runtime, with or without the past.

    Examples
    --------
    >>> channels(past=False), channels(past=True)
    (11, 12)
    """
    return CHANNELS + past
