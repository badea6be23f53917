"""What a network reads of an object's past besides its crop: the published segmenter looks at three frames.

A contract with `past` says so. Then an object's crop has a channel more, the mask that it was marked with; and three
maps of features after each other: this frame's, the last frame's in the same box, and those of the frame in which it
was marked, in its box there. Mask and features of the mark are cut out once, so an object costs a few megabytes
whatever the frame's size, for ever.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..models.contract import RefinerContract
from ..models.settings import CropSettings
from ..types import Crops
from .boxes import box_of
from .crops import CHANNELS, Scene, cut_map, cut_out


class Mark(NamedTuple):
    """An object as it was marked.

    features : (D, S / stride, S / stride) float32, in its box
    mask : (S, S) float32, likewise, 0 to 1
    sides : width and height of the box, cells of the grid
    """

    features: np.ndarray
    mask: np.ndarray
    sides: tuple[int, int]


class ReferenceFrames:
    """The past of all objects followed, as far as a network reads it.

    Parameters
    ----------
    contract : of the network, with a past
    """

    def __init__(self, contract: RefinerContract, settings: CropSettings = CropSettings()) -> None:
        self._settings = settings
        self._size, self._stride = contract.size, contract.stride
        self._marks: dict[int, Mark] = {}
        self._last = np.zeros((0, 0, 0), np.float32)

    def mark(self, features: np.ndarray, labels: np.ndarray, ids: np.ndarray, grid: tuple[int, int]) -> None:
        """Remember new objects.

        Parameters
        ----------
        features : (D, h', w') float32, of the frame in which they were marked
        labels : (H, W) uint8 object ids
        ids : of the new ones, each in `labels`
        grid : (h, w), on which boxes are
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
        """Drop an object."""
        del self._marks[object_id]

    def pass_on(self, features: np.ndarray) -> None:
        """The frame is over: its features, (D, h', w'), are the last ones now."""
        self._last = features

    def cut_out(self, scene: Scene, ids: np.ndarray) -> Crops:
        """Cut each visible object out of a frame, with its past.

        A box is at least as large as the one that its object was marked in. Source: the published region of interest.

        Parameters
        ----------
        scene : Scene
        ids : (K + 1,), of the columns of its planes
        """
        least = np.array([self._marks[object_id].sides for object_id in ids[1:].tolist()])
        crops = cut_out(scene, self._size, self._stride, least, self._settings)
        marks = [self._marks[object_id] for object_id in ids[crops.objects].tolist()]
        if not marks:
            return crops
        h, w = scene.planes.shape[:2]
        last = cut_map(self._last, crops.boxes, (h, w), self._size // self._stride)
        marked = np.stack([mark.features for mark in marks])
        return crops._replace(
            images=np.concatenate([crops.images, np.stack([mark.mask for mark in marks])[:, None]], axis=1),
            features=np.concatenate([crops.features, last, marked], axis=1),
        )


def channels(past: bool) -> int:
    """C, of the crops that this runtime cuts out, with or without the past."""
    return CHANNELS + past
