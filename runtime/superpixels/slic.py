"""SLIC superpixels (Achanta et al., 2012) with SIMD kernels and a warm start from the previous frame.

`benchmarks/superpixels.py` prints the quality, `benchmarks/core.py` the times. Differences to the published SLIC:

- Colours are luma / 2, R - B and 2 G - R - B instead of Lab, smoothed by a 1-2-1 filter and stored in 7 bits. A
  squared distance then fits 16 bits, and one SIMD step handles 16 pixels.
- Early rounds assign every second row, the last round every row. Runs of one or two pixels inside another superpixel
  are closed. See `_connectivity` for connected regions.
- The warm start shifts the previous centres with the camera, does one round on every fourth row and assigns these
  rows. The rows between take the label above or below whose colour is nearer.
- Parts below a quarter of the mean area are dropped; superpixels above 1.5 times the mean area are split instead.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, njit

from ..errors import BadInput, ShapeMismatch
from ..models.settings import SuperpixelSettings
from ..types import Superpixels
from . import _assignment as assignment
from . import _connectivity as regions
from . import _run_lengths as runs
from . import _warm_start as following
from ._color_planes import LANES, checked_image, to_planes

SPATIAL_LIMIT = 8500
"""Largest squared distance along one axis: with three squares of 127 the sum fits 16 bits."""


def slic(image: np.ndarray, settings: SuperpixelSettings) -> Superpixels:
    """Partition a single frame. For a video use a `SuperpixelTracker`, which reuses its buffers.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    settings : SuperpixelSettings

    Returns
    -------
    Superpixels
        At most `settings.count`, usually within 5 %; in strong noise far fewer.

    Raises
    ------
    ShapeMismatch
        If the image is not (H, W, 3), or is empty.
    BadInput
        If the image is not uint8.

    Examples
    --------
    >>> slic(np.full((40, 60, 3), 128, np.uint8), SuperpixelSettings(count=6)).labels.shape
    (40, 60)
    """
    return SuperpixelTracker(settings).step(image)


class SuperpixelTracker:
    """Superpixels of a video: the first frame and each cut start cold, other frames start from the previous one.

    A label that survives keeps its number. A tracker must not be shared between threads.

    Parameters
    ----------
    settings : SuperpixelSettings

    Attributes
    ----------
    warm : bool
        Whether the last frame started from the previous one.

    Examples
    --------
    >>> tracker = SuperpixelTracker(SuperpixelSettings(count=6))
    >>> image = np.full((40, 60, 3), 128, np.uint8)
    >>> first, second = tracker.step(image), tracker.step(image)
    >>> tracker.warm
    True
    """

    def __init__(self, settings: SuperpixelSettings) -> None:
        self.settings = settings
        self.warm = False
        self._thumbnail = np.zeros((0, 0), np.uint8)
        self._usual = -1.0  # residual of the previous frame; negative before the first
        self._shape = (0, 0)

    def step(self, image: np.ndarray) -> Superpixels:
        """Partition the next frame; parameters and errors as of `slic`."""
        image = checked_image(image)
        height, width = image.shape[:2]
        if (height, width) != self._shape:
            self._allocate(height, width)
        chunks = min(get_num_threads(), -(-height // assignment.BAND))
        to_planes(image, self._planes, chunks)
        before, self._thumbnail = self._thumbnail, following.thumbnail(self._planes[0], width, following.THUMB)
        self.warm = self._usual >= 0 and self._follow(*following.motion(before, self._thumbnail, following.FASTEST))
        if not self.warm:
            self._labels[:] = 0  # pixels that no centre reaches keep this label
            self._centres = self._seeds.copy()
            assignment.seed(self._planes, self._centres, width)
        rounds, step, last = (1, 4, 4) if self.warm else (self.settings.iterations, 2, 1)
        if height == 1:
            step = last = 1
        frame = (self._planes, self._labels, self._nearest)
        reach = self._near if self.warm else self._reach
        grid = (self._table, self._window, reach, width)
        assignment.cluster(*frame, self._centres, *grid, rounds, step, last, chunks)
        least = self.settings.min_area * height * width / self._count
        result = regions.connect(
            self._labels, self._planes, self._centres[:, 2:], self._runs, self._count, least, chunks, last
        )
        self._carry(result, chunks)
        return result

    def restart(self) -> None:
        """Start the next frame cold."""
        self._usual = -1.0

    def _follow(self, dx: int, dy: int) -> bool:
        """Shift the centres with the camera; return False if their colours do not fit the new frame: a cut."""
        now = following.residual(self._planes, self._labels, self._centres, dx, dy, self._shape[1])
        if now > self.settings.cut_ratio * self._usual + self.settings.cut_offset:
            return False
        following.shift(self._planes, self._centres, dx, dy, self._shape[1])
        return True

    def _carry(self, result: Superpixels, chunks: int) -> None:
        """Keep centres and colours for the next frame, and split superpixels that grew too large."""
        centres = np.zeros((len(result.areas), 5), np.int16)
        centres[:, :2] = np.rint(result.centres)
        step = 4 if self._shape[0] > 1 else 1
        assignment.measure(self._planes, self._labels, centres, self._window, self._reach, step, chunks)
        self._usual = following.residual(self._planes, self._labels, centres, 0, 0, self._shape[1])
        self._centres = following.split(
            self._labels, centres, result.areas, self._count, self.settings.split_area, self._shape[1]
        )

    def _allocate(self, height: int, width: int) -> None:
        padded = -(-width // LANES) * LANES
        self._shape = height, width
        self._usual = -1.0
        self._planes = np.zeros((3, height, padded), np.uint8)
        self._labels = np.zeros((height, padded), np.uint16)
        self._nearest = np.empty((height, padded), np.uint16)
        self._runs = runs.allocate(height, width)
        self._count = min(self.settings.count, height * width)
        self._seeds, reach = _grid(height, width, self._count)
        self._reach = int(np.ceil(reach)) + 1
        step = (height * width / self._count) ** 0.5
        self._near = int(np.ceil(step))
        self._window = min(-(-(2 * self._reach + 1) // LANES) * LANES, padded)
        far = max(padded, height)
        offsets = np.arange(-far, far) * (self.settings.compactness / step)
        self._table = np.minimum(offsets**2, SPATIAL_LIMIT).astype(np.uint16)


def cut_along(superpixels: Superpixels, mask: np.ndarray) -> Superpixels:
    """Split superpixels so that each belongs to one object of a mask.

    Parameters
    ----------
    superpixels : Superpixels
    mask : (H, W) uint8
        Object id per pixel.

    Returns
    -------
    Superpixels
        Labels 0 to N' - 1, all present, in raster order. A part need not be connected.

    Raises
    ------
    ShapeMismatch
        If the mask is not of the superpixels' size.
    BadInput
        If the mask is not uint8.

    Examples
    --------
    >>> whole = slic(np.full((8, 8, 3), 128, np.uint8), SuperpixelSettings(count=1))
    >>> len(cut_along(whole, np.eye(8, dtype=np.uint8)).areas)
    2
    """
    labels, centres, _ = superpixels
    if mask.shape != labels.shape:
        raise ShapeMismatch(
            f"mask: wrong shape (got {mask.shape}, expected {labels.shape}, the superpixels'). Resize the mask"
        )
    if mask.dtype != np.uint8:
        raise BadInput(f"mask: wrong type (got {mask.dtype}, expected uint8 object ids)")
    return Superpixels(*_cut(labels, np.array(mask, order="C"), len(centres)))


def _grid(height: int, width: int, count: int) -> tuple[np.ndarray, float]:
    """Place at most `count` centres on a grid, (n, 5) int16 of x, y and three colours of 0; and the larger step."""
    rows = min(max(1, round((count * height / width) ** 0.5)), height, count)
    columns = min(width, count // rows)
    centres = np.zeros((rows * columns, 5), np.int16)
    y, x = np.mgrid[0:rows, 0:columns]
    centres[:, 0] = ((x + 0.5) * width / columns).ravel()
    centres[:, 1] = ((y + 0.5) * height / rows).ravel()
    return centres, max(width / columns, height / rows)


@njit(cache=True, nogil=True)
def _cut(labels: np.ndarray, mask: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height, width = labels.shape
    names = np.full((count, 256), -1, np.int32)
    sums = np.zeros((height * width if count * 256 > height * width else count * 256, 3), np.int64)
    out = np.empty((height, width), np.int32)
    total = 0
    for y in range(height):
        for x in range(width):
            k, m = labels[y, x], mask[y, x]
            if names[k, m] < 0:
                names[k, m] = total
                total += 1
            k = names[k, m]
            out[y, x] = k
            sums[k, 0] += 1
            sums[k, 1] += x
            sums[k, 2] += y
    centres = np.empty((total, 2), np.float32)
    areas = np.empty(total, np.int32)
    for k in range(total):
        areas[k] = sums[k, 0]
        centres[k, 0] = sums[k, 1] / sums[k, 0]
        centres[k, 1] = sums[k, 2] / sums[k, 0]
    return out, centres, areas
