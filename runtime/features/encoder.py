"""What a frame shows, before any memory is asked: superpixels, what the network says of them, and motion."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from .._support.stopwatch import Stopwatch
from ..backends.base import Session
from ..geometry import fit, grid_of
from ..models.settings import Settings
from ..superpixels.slic import SuperpixelTracker, cut_along
from ..types import Superpixels
from .optical_flow import MotionTracker
from .preprocess import to_input
from .superfeatures import superfeatures

T = TypeVar("T")


class EncodedFrame(NamedTuple):
    """A frame after the stages that need no memory.

    image : (H, W, 3) uint8 RGB, scaled down where the frame has more pixels than the network's input
    superpixels : Superpixels, of that size
    map : (C, h, w) float32, what the network gave
    features : (N, D) float32, unit length
    """

    image: np.ndarray
    superpixels: Superpixels
    map: np.ndarray
    features: np.ndarray


class FrameEncoder:
    """Looks at one frame after the other; what it keeps of the past are superpixels and flow.

    Parameters
    ----------
    session : the embedding network
    settings : Settings
    stopwatch : that is told the time of each stage
    beside : whether superpixels and flow run while the network does
    """

    def __init__(self, session: Session, settings: Settings, stopwatch: Stopwatch, beside: bool) -> None:
        self._session, self._settings, self._stopwatch = session, settings, stopwatch
        self._beside = ThreadPoolExecutor(1, "superpixels") if beside else None
        self.restart()

    def restart(self) -> None:
        """Forget all frames."""
        self._superpixels = SuperpixelTracker(self._settings.superpixels)
        self._motion = MotionTracker(self._settings.memory.recent, self._settings.flow)

    def close(self) -> None:
        """End the thread that computes superpixels beside the network."""
        if self._beside is not None:
            self._beside.shutdown()

    def encode(self, image: np.ndarray, mask: np.ndarray | None = None) -> EncodedFrame:
        """Take the next frame, (H, W, 3) uint8 RGB; with a mask of its size, superpixels are cut along it."""
        small = self._working_image(image)
        waiting = self._start_beside(lambda: self._partition(small, mask))
        with self._stopwatch.time("network"):
            features = self._session.run(to_input(image, self._session.contract))
        superpixels = waiting()
        with self._stopwatch.time("pool"):
            return self._describe(small, superpixels, features)

    def cut(self, seen: EncodedFrame, mask: np.ndarray) -> EncodedFrame:
        """The same frame with its superpixels cut along a mask, (H, W) uint8 of any size."""
        return self._describe(seen.image, cut_along(seen.superpixels, fit(mask, seen.image)), seen.map)

    def trace(self, points: np.ndarray) -> np.ndarray:
        """Where points of the last frame were before, see `MotionTracker.trace`."""
        return self._motion.trace(points)

    def carry(self, labels: np.ndarray, seen: EncodedFrame) -> np.ndarray:
        """Labels of the frame before where they are in this one, on the grid; after a cut, zeros.

        Superpixels start afresh when a picture shakes, too; then the flow still leads from frame to frame.
        """
        h, w = grid_of(seen.superpixels.labels.shape)
        if not self._superpixels.warm and not self._motion.explains():
            return np.zeros((h, w), np.uint8)
        return self._motion.carry(cv2.resize(labels, (w, h), interpolation=cv2.INTER_NEAREST_EXACT))

    def _describe(self, image: np.ndarray, superpixels: Superpixels, features: np.ndarray) -> EncodedFrame:
        described = superfeatures(features, superpixels, self._session.contract.head)
        return EncodedFrame(image, superpixels, features, described)

    def _partition(self, image: np.ndarray, mask: np.ndarray | None) -> Superpixels:
        with self._stopwatch.time("superpixels"):
            superpixels = self._superpixels.step(image)
            if mask is not None:
                superpixels = cut_along(superpixels, fit(mask, image))
        with self._stopwatch.time("flow"):
            self._motion.step(image)
        return superpixels

    def _start_beside(self, work: Callable[[], T]) -> Callable[[], T]:
        """Begin some work on the other thread, or here if there is none; what is returned gives the result."""
        if self._beside is not None:
            future: Future[T] = self._beside.submit(work)
            return future.result
        result = work()
        return lambda: result

    def _working_image(self, image: np.ndarray) -> np.ndarray:
        """The frame, scaled down where it has more pixels than the network's input."""
        contract = self._session.contract
        scale = (contract.height * contract.width / (image.shape[0] * image.shape[1])) ** 0.5
        if scale >= 1:
            return image
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
