"""Superpixels: SLIC (Achanta et al., 2012) with SIMD kernels, cold or warm-started from the previous frame.

What differs from the published SLIC (`benchmarks/superpixels.py` prints the quality, `benchmarks/core.py` the times):

- Colours are luma / 2, R - B and 2 G - R - B instead of Lab, smoothed by 1-2-1: integers of 7 bits, so that
  a squared distance fits 16 bits and 16 pixels go through one SIMD step. Weak luma and strong chroma also
  cut better than Lab, with its L halved or not.
- The early rounds look at every second row; the last assigns every row. Stretches of one or two pixels
  inside another superpixel are then closed (as good, half of the orphans). Connectivity: see regions.py.
- The warm start moves the last centres with the camera (shift of a thumbnail), does one round on every
  fourth row, then assigns and connects the same rows; a pixel between two rows takes the label above or
  below whose colour is nearer, first in the middle between them, then between it and them. Parts that shrink
  below a quarter of the mean area die; their labels go to the halves of those above 1.5 times. Without the
  round fast objects tear; without the splitting a quarter of the superpixels is lost within 50 frames.

Defaults: the ceiling of the IoU is flat from compactness 5 to 20; boundary recall falls, and the number of orphans, so
the time, grows below 10. Two rounds are a little worse than four, eight are no better.

A warm frame takes less than half of a cold one's time. Of it, at N = 1,000 on one thread, writing and counting all rows
takes a quarter, the assignment a fifth (where each centre costs something however few rows it looks at), the other
steps of connectivity a fifth, colours an eighth; on two threads, to wake the other one up for seven kernels costs half
a millisecond, which spinning (`shls.runtime`) would save. With every second row assigned in warm frames, as once, they
took a third more, for 0.002 to 0.004 of the IoU's ceiling and no J&F.

Tried and dropped: plain numba loops for the assignment (not vectorised); a median filter (as slow as all the rest for
next to nothing); every fourth row in cold rounds (cuts worse); phase correlation for the camera's motion (misses half
of it); a warm round on every eighth row (cuts worse); every second column, too, in warm frames (labels keep their
place less often); for the next frame's centres the colours of the last round, or those of every eighth row, in place of
measuring them when all is connected (a twentieth faster; J&F 0.006 and 0.002 lower over five and two runs); a smaller
reach for warm frames (what nothing reaches any more makes orphans, whose adoption costs more). Re-evaluating boundary
pixels only cannot pay: two thirds of the pixels are within 4 of a boundary.

The rounds are in assignment.py, what carries a partition to the next frame in following.py.
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

SPATIAL_LIMIT = 8500  # of the squared distance along one axis: with three squares of 127 it fits 16 bits


def slic(image: np.ndarray, settings: SuperpixelSettings) -> Superpixels:
    """Partition a single frame. For many frames keep a `SuperpixelTracker`, whose buffers are reused.

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
        If the image is not (H, W, 3), or empty.
    BadInput
        If it is not uint8, or a setting is out of range.
    """
    return SuperpixelTracker(settings).step(image)


class SuperpixelTracker:
    """Superpixels of a video: the first frame and each cut start cold, other frames start from the last one.

    A label that lives on keeps its number. Not to be shared between threads.
    """

    def __init__(self, settings: SuperpixelSettings) -> None:
        self.settings = settings
        self.warm = False  # whether the last step started from the one before
        self._thumbnail = np.zeros((0, 0), np.uint8)
        self._usual = -1.0  # residual of the last frame; below 0 before the first
        self._shape = (0, 0)

    def step(self, image: np.ndarray) -> Superpixels:
        """Partition the next frame; array and errors as of `slic`."""
        image = checked_image(image)
        height, width = image.shape[:2]
        if (height, width) != self._shape:
            self._allocate(height, width)
        chunks = min(get_num_threads(), -(-height // assignment.BAND))
        to_planes(image, self._planes, chunks)
        before, self._thumbnail = self._thumbnail, following.thumbnail(self._planes[0, :, :width], following.THUMB)
        self.warm = self._usual >= 0 and self._follow(*following.motion(before, self._thumbnail, following.FASTEST))
        if not self.warm:
            self._labels[:] = 0  # what no centre reaches keeps its label, which must be one of this start
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
        """Move the centres with the camera; False if what they carry does not fit the new frame: a cut."""
        now = following.residual(self._planes, self._labels, self._centres, dx, dy, self._shape[1])
        if now > self.settings.cut_ratio * self._usual + self.settings.cut_offset:
            return False
        following.shift(self._planes, self._centres, dx, dy, self._shape[1])
        return True

    def _carry(self, result: Superpixels, chunks: int) -> None:
        """Keep centres and colours for the next frame, with new centres where superpixels grew too large."""
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
    """Split superpixels so that each lies within one object of a mask.

    Parameters
    ----------
    superpixels : Superpixels
    mask : (H, W) uint8, object id per pixel

    Returns
    -------
    Superpixels
        Labels 0..N'-1, all present, in raster order. A part may fall into several pieces.

    Raises
    ------
    ShapeMismatch
        If the mask is not of the superpixels' size.
    BadInput
        If the mask is not uint8.
    """
    labels, centres, _ = superpixels
    if mask.shape != labels.shape:
        raise ShapeMismatch(
            f"a mask of {mask.shape} cannot cut superpixels of {labels.shape}; resize the mask to the frame"
        )
    if mask.dtype != np.uint8:
        raise BadInput(f"the mask holds {mask.dtype}; object ids are uint8")
    return Superpixels(*_cut(labels, np.array(mask, order="C"), len(centres)))


def _grid(height: int, width: int, count: int) -> tuple[np.ndarray, float]:
    """Centres (n, 5) int16 of x, y and three colours, left 0, on a grid of at most count, larger step."""
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
