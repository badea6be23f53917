"""Encoding of a frame without the memory: network, superpixels, optical flow and superfeatures."""

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
from ..superpixels.isec import isec
from ..superpixels.slic import SuperpixelTracker, cut_along
from ..types import Superpixels
from .context import with_context
from .optical_flow import MotionTracker
from .preprocess import to_input
from .superfeatures import superfeatures

T = TypeVar("T")


class EncodedFrame(NamedTuple):
    """A frame after the stages that need no memory.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
        Scaled down if the frame has more pixels than the network's input.
    superpixels : Superpixels
        Partition of `image`.
    map : (C, h, w) float32
        Output of the network.
    features : (N, D) float32
        Superfeatures, unit length.
    """

    image: np.ndarray
    superpixels: Superpixels
    map: np.ndarray
    features: np.ndarray


class FrameEncoder:
    """Encodes one frame after the other; its only state are superpixels and optical flow.

    Parameters
    ----------
    session : Session
        Embedding network.
    settings : Settings
    stopwatch : Stopwatch
        Collects the time of each stage.
    overlap : bool
        Compute superpixels and flow in a second thread while the network runs.
    """

    def __init__(self, session: Session, settings: Settings, stopwatch: Stopwatch, overlap: bool) -> None:
        self._session, self._settings, self._stopwatch = session, settings, stopwatch
        self._thread = ThreadPoolExecutor(1, "superpixels") if overlap else None
        self.restart()

    def restart(self) -> None:
        """Forget all frames."""
        slic_used = self._settings.superpixels.algorithm == "slic"
        self._superpixels = SuperpixelTracker(self._settings.superpixels) if slic_used else None
        self._motion = MotionTracker(self._settings.memory.traced, self._settings.flow)

    def close(self) -> None:
        """End the second thread."""
        if self._thread is not None:
            self._thread.shutdown()

    def encode(self, image: np.ndarray, mask: np.ndarray | None = None) -> EncodedFrame:
        """Encode the next frame.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
        mask : (H, W) uint8, optional
            Superpixels are cut along its objects.
        """
        small = self._working_image(image)
        partition = self._run_beside(lambda: self._partition(small, mask))
        with self._stopwatch.time("network"):
            features = self._session.run(to_input(image, self._session.contract))
        superpixels = partition()
        with self._stopwatch.time("pool"):
            return self._describe(small, superpixels, features)

    def cut(self, frame: EncodedFrame, mask: np.ndarray) -> EncodedFrame:
        """Return the same frame with its superpixels cut along a mask, (H, W) uint8 of any size."""
        return self._describe(frame.image, cut_along(frame.superpixels, fit(mask, frame.image)), frame.map)

    def trace(self, points: np.ndarray) -> np.ndarray:
        """Trace points of the last frame back in time; see `MotionTracker.trace`."""
        return self._motion.trace(points)

    def is_cut(self) -> bool:
        """Return whether the last frame shows another scene than its predecessor.

        Both superpixels and optical flow must have lost the previous frame: superpixels also start afresh when the
        camera shakes.
        """
        return not (self._superpixels and self._superpixels.warm) and self._motion.is_cut()

    def warp(self, labels: np.ndarray, frame: EncodedFrame) -> np.ndarray:
        """Warp labels of the previous frame to this one, on the half-resolution grid, (h, w) uint8."""
        h, w = grid_of(frame.superpixels.labels.shape)
        return self._motion.warp(cv2.resize(labels, (w, h), interpolation=cv2.INTER_NEAREST_EXACT))

    def _describe(self, image: np.ndarray, superpixels: Superpixels, features: np.ndarray) -> EncodedFrame:
        described = superfeatures(features, superpixels, self._session.contract.head)
        described = with_context(described, superpixels, self._settings.context)
        return EncodedFrame(image, superpixels, features, described)

    def _partition(self, image: np.ndarray, mask: np.ndarray | None) -> Superpixels:
        with self._stopwatch.time("superpixels"):
            superpixels = (
                self._superpixels.step(image) if self._superpixels else isec(image, self._settings.superpixels)
            )
            if mask is not None:
                superpixels = cut_along(superpixels, fit(mask, image))
        with self._stopwatch.time("flow"):
            self._motion.step(image)
        return superpixels

    def _run_beside(self, work: Callable[[], T]) -> Callable[[], T]:
        """Start some work in the second thread, or do it now if there is none; return a function for the result."""
        if self._thread is not None:
            future: Future[T] = self._thread.submit(work)
            return future.result
        result = work()
        return lambda: result

    def _working_image(self, image: np.ndarray) -> np.ndarray:
        contract = self._session.contract
        scale = (contract.height * contract.width / (image.shape[0] * image.shape[1])) ** 0.5
        if scale >= 1:
            return image
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
