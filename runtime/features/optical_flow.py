"""Where things were a few frames ago, from coarse optical flow."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from ..models.settings import FlowSettings

REDUCTION = 4
"""Frame pixels per flow vector, along each axis."""

LEAST_SIDE = 16
"""Frames whose reduced side would be shorter are taken to stand still: the flow needs a patch to match."""


class MotionTracker:
    """Backward flow between the last frames (DIS, Kroeger et al. 2016, at a quarter of the resolution).

    The memory centres its windows on these places, so that a narrow window serves fast objects and moving cameras too.

    Parameters
    ----------
    frames : int
        How far back a point can be traced.
    """

    def __init__(self, frames: int, settings: FlowSettings | None = None) -> None:
        self._settings = settings or FlowSettings()
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flows: deque[np.ndarray] = deque(maxlen=frames)
        self._previous: np.ndarray | None = None
        self._before: np.ndarray | None = None  # the one before that, once there is a flow between them

    def step(self, image: np.ndarray) -> None:
        """Take the next frame, (H, W, 3) uint8 RGB."""
        height, width = (REDUCTION * (side // REDUCTION) for side in image.shape[:2])
        if min(height, width) < LEAST_SIDE * REDUCTION:
            return
        grey = cv2.cvtColor(image[:height, :width], cv2.COLOR_RGB2GRAY)
        for half in (2, 4):  # OpenCV halves in a fifth of the time that it takes for a quarter
            grey = cv2.resize(grey, (width // half, height // half), interpolation=cv2.INTER_AREA)
        if self._previous is not None:
            flow = self._dis.calc(grey, self._previous, None)  # (H/4, W/4, 2): from this frame to the one before
            self._flows.appendleft(cv2.GaussianBlur(flow, (0, 0), 2) * REDUCTION)
        self._before, self._previous = self._previous, grey

    def trace(self, points: np.ndarray) -> np.ndarray:
        """Follow points back in time.

        Parameters
        ----------
        points : (N, 2) float32, x and y in frame pixels

        Returns
        -------
        (A, N, 2) float32: where they are now, where they were one frame ago, two, ...
        """
        places = [points.astype(np.float32)]
        for flow in self._flows:
            now = places[-1]
            column = np.clip(now[:, 0] / REDUCTION, 0, flow.shape[1] - 1).astype(np.intp)
            row = np.clip(now[:, 1] / REDUCTION, 0, flow.shape[0] - 1).astype(np.intp)
            places.append(now + flow[row, column])
        return np.stack(places)

    def explains(self) -> bool:
        """Whether the last frame, moved along the flow, is this one: otherwise there was a cut between them."""
        if self._before is None or self._previous is None:
            return False
        moved = self.carry(self._before, cv2.INTER_LINEAR)
        spreads = moved.std() * self._previous.std()
        together = ((moved - moved.mean()) * (self._previous - self._previous.mean())).mean()
        return bool(together > self._settings.cut_correlation * spreads)

    def carry(self, labels: np.ndarray, between: int = cv2.INTER_NEAREST) -> np.ndarray:
        """Bring labels of the last frame to where they are in this one, (h, w) uint8 at any resolution.

        `between` is OpenCV's interpolation; pictures may have another than labels.
        """
        if not self._flows:
            return labels
        h, w = labels.shape
        flow = cv2.resize(self._flows[0], (w, h), interpolation=cv2.INTER_LINEAR)
        x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
        scale_x, scale_y = w / (self._flows[0].shape[1] * REDUCTION), h / (self._flows[0].shape[0] * REDUCTION)
        before_x, before_y = x + flow[..., 0] * np.float32(scale_x), y + flow[..., 1] * np.float32(scale_y)
        return cv2.remap(labels, before_x, before_y, between, borderMode=cv2.BORDER_REPLICATE)
