"""Coarse optical flow between frames: it traces points back in time and warps masks to the next frame."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import cv2
import numpy as np

from ..models.settings import FlowSettings

REDUCTION = 4
"""Frame pixels per flow vector, along each axis."""

MIN_SIDE = 16
"""Shortest side of the reduced frame for which flow is computed; smaller frames are taken as still."""


class MotionTracker:
    """Backward optical flow between the last frames, at a quarter of the resolution.

    The memory centres its search windows on the traced places, so a narrow window serves fast objects and a moving
    camera as well. Source: dense inverse search (DIS), Kroeger et al. 2016.

    Parameters
    ----------
    frames : int
        Number of frames that a point can be traced back.
    settings : FlowSettings

    Examples
    --------
    >>> tracker = MotionTracker(frames=2)
    >>> image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    >>> for _ in range(2):
    ...     tracker.step(image)
    >>> tracker.trace(np.array([[10.0, 20.0]], np.float32)).shape
    (2, 1, 2)
    >>> tracker.is_cut()
    False
    """

    def __init__(self, frames: int, settings: FlowSettings = FlowSettings()) -> None:
        self._settings = settings
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flows: deque[np.ndarray] = deque(maxlen=frames)
        self._previous: np.ndarray | None = None
        self._before: np.ndarray | None = None  # predecessor of `_previous`, once there is a flow between them

    def step(self, image: np.ndarray) -> None:
        """Add the next frame, (H, W, 3) uint8 RGB."""
        height, width = (REDUCTION * (side // REDUCTION) for side in image.shape[:2])
        if min(height, width) < MIN_SIDE * REDUCTION:
            return
        grey = cv2.cvtColor(image[:height, :width], cv2.COLOR_RGB2GRAY)
        for half in (2, 4):  # two halvings take OpenCV a fifth of the time of one reduction to a quarter
            grey = cv2.resize(grey, (width // half, height // half), interpolation=cv2.INTER_AREA)
        if self._previous is not None:
            flow = self._dis.calc(grey, self._previous, None)  # (H/4, W/4, 2): from this frame to its predecessor
            self._flows.appendleft(cv2.GaussianBlur(flow, (0, 0), 2) * REDUCTION)
        self._before, self._previous = self._previous, grey

    def trace(self, points: np.ndarray) -> np.ndarray:
        """Trace points back in time.

        Parameters
        ----------
        points : (N, 2) float32
            x and y in frame pixels.

        Returns
        -------
        (A, N, 2) float32
            Places now, one frame ago, two frames ago, and so on.
        """
        places = [points.astype(np.float32)]
        for flow in self._flows:
            now = places[-1]
            column = np.clip(now[:, 0] / REDUCTION, 0, flow.shape[1] - 1).astype(np.intp)
            row = np.clip(now[:, 1] / REDUCTION, 0, flow.shape[0] - 1).astype(np.intp)
            places.append(now + flow[row, column])
        return np.stack(places)

    def is_cut(self) -> bool:
        """Return whether the last frame shows another scene than its predecessor.

        The predecessor is warped along the flow. There is a cut if the correlation of both falls below
        `FlowSettings.cut_correlation`.
        """
        if self._before is None or self._previous is None:
            return True
        warped = self.warp(self._before, cv2.INTER_LINEAR)
        spreads = warped.std() * self._previous.std()
        covariance = ((warped - warped.mean()) * (self._previous - self._previous.mean())).mean()
        return not covariance > self._settings.cut_correlation * spreads

    def warp(self, labels: np.ndarray, interpolation: int = cv2.INTER_NEAREST) -> np.ndarray:
        """Warp labels or a picture of the predecessor to the last frame.

        Parameters
        ----------
        labels : (h, w) uint8
            Of any resolution.
        interpolation : int
            OpenCV's flag.

        Returns
        -------
        (h, w) uint8
        """
        if not self._flows:
            return labels
        h, w = labels.shape
        before = cv2.resize(self._flows[0], (w, h), interpolation=cv2.INTER_LINEAR)
        scale = w / (self._flows[0].shape[1] * REDUCTION), h / (self._flows[0].shape[0] * REDUCTION)
        before *= np.array(scale, np.float32)
        before += _places(h, w)
        return cv2.remap(labels, before, None, interpolation, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(2)
def _places(height: int, width: int) -> np.ndarray:
    """Return x and y of each pixel, (height, width, 2) float32."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.dstack([x, y])
