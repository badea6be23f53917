"""Superpixels: SLIC (Achanta et al., 2012) with SIMD kernels, cold or warm-started from the previous frame.

What differs from the published SLIC, and what it brings (J is the mean intersection over union when each
superpixel takes its best label, on DAVIS frames at N = 1,000; `benchmarks/superpixels.py` prints the
table):

- Colours are luma / 2, R - B and 2 G - R - B instead of Lab, smoothed by 1-2-1: integers of 7 bits, so that
  a squared distance fits 16 bits and 16 pixels go through one SIMD step. Weak luma and strong chroma also
  cut better: J 0.877 for 8-bit Lab, 0.893 with its L halved, 0.904 with these.
- The early rounds look at every second row; the last assigns every row. Stretches of one or two pixels
  inside another superpixel are then closed (same J, half of the orphans). Connectivity: see regions.py.
- The warm start moves the last centres with the camera (shift of a thumbnail), does one round on every
  fourth row and one assignment. Parts that shrink below a quarter of the mean area die; their labels go to
  the halves of those above 1.5 times. Labels that keep their number along dense flow: 0.73 of the pixels,
  0.61 without the camera's motion, 0.61 for cold starts matched afterwards. Without the round fast objects
  tear (J 0.910 against 0.923); without the splitting a quarter of the superpixels is lost within 50 frames.

Defaults: J is flat from compactness 5 to 20, boundary recall falls from 0.947 (5) over 0.939 (10) to 0.918
(20), and orphans, so time, grow below 10. Rounds: J 0.905 with 2, 0.908 with 4, 0.908 with 8.

Tried and dropped: plain numba loops for the assignment (8 ms a round, not vectorised; 1.0 ms with slices;
0.5 ms with the SIMD steps below); a median filter (J + 0.001, 4 ms); every fourth row in cold rounds (J -
0.003); phase correlation for the camera's motion (misses half of it). Re-evaluating boundary pixels only
cannot pay: assigning all pixels takes 0.5 ms of the 4 that a warm frame takes on one thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import get_num_threads, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from shls.runtime import regions
from shls.runtime.contract import SuperpixelSettings
from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.planes import LANES, checked_image, to_planes
from shls.runtime.types import Superpixels

BAND = 16  # rows assigned together: they stay in the first-level cache
PIECE = 256  # rows summed at once: 16-bit lanes overflow above 512
TIDY = 8  # least reach, in pixels, at which thin stretches are closed: they are whole superpixels below
NOWHERE = 65535  # label of the columns that pad a row
MAX_COUNT = 60_000
THUMB, FASTEST = 8, 6  # pixels per pixel of the thumbnail that shows the camera's motion, and its range
SPATIAL_LIMIT = 8500  # of the squared distance along one axis: with three squares of 127 it fits 16 bits
LEAST = 0.25  # smaller parts, as a share of the mean area, join a neighbour
SPLIT = 1.5  # larger superpixels, in mean areas, are split when labels are free
CUT_RATIO, CUT_LEAST = 2.0, 24.0  # a frame is a cut when its residual exceeds ratio * usual + least


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
        if not 1 <= settings.count <= MAX_COUNT:
            raise BadInput(f"{settings.count} superpixels are wanted; choose from 1 to {MAX_COUNT}")
        if not settings.compactness > 0 or settings.iterations < 1:
            came = f"compactness {settings.compactness} and {settings.iterations} iterations"
            raise BadInput(f"{came} came; compactness must be above 0, iterations at least 1")
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
        chunks = min(get_num_threads(), -(-height // BAND))
        to_planes(image, self._raw, self._planes, chunks)
        before, self._thumbnail = self._thumbnail, _thumbnail(self._planes[0, :, :width], THUMB)
        self.warm = self._usual >= 0 and self._follow(*_motion(before, self._thumbnail, FASTEST))
        if not self.warm:
            self._labels[:] = 0  # what no centre reaches keeps its label, which must be one of this start
            self._centres = self._seeds.copy()
            _seed(self._planes, self._centres, width)
        rounds, step = (1, 4) if self.warm else (self.settings.iterations, 2)
        frame = (self._planes, self._labels, self._nearest)
        _cluster(*frame, self._centres, self._table, self._window, self._reach, width, rounds, step, chunks)
        least = LEAST * height * width / self._count
        result = regions.connect(
            self._labels, self._planes, self._centres[:, 2:], self._runs, self._count, least, chunks
        )
        self._carry(result, chunks)
        return result

    def restart(self) -> None:
        """Start the next frame cold."""
        self._usual = -1.0

    def _follow(self, dx: int, dy: int) -> bool:
        """Move the centres with the camera; False if what they carry does not fit the new frame: a cut."""
        now = _residual(self._planes, self._labels, self._centres, dx, dy, self._shape[1])
        if now > CUT_RATIO * self._usual + CUT_LEAST:
            return False
        if dx or dy:
            _shift(self._planes, self._centres, dx, dy, self._shape[1])
        return True

    def _carry(self, result: Superpixels, chunks: int) -> None:
        """Keep centres and colours for the next frame, with new centres where superpixels grew too large."""
        centres = np.zeros((len(result.areas), 5), np.int16)
        centres[:, :2] = np.rint(result.centres)
        _measure(self._planes, self._labels, centres, self._window, self._reach, chunks)
        self._usual = _residual(self._planes, self._labels, centres, 0, 0, self._shape[1])
        self._centres = _split(self._labels, centres, result.areas, self._count, SPLIT, self._shape[1])

    def _allocate(self, height: int, width: int) -> None:
        padded = -(-width // LANES) * LANES
        self._shape = height, width
        self._usual = -1.0
        self._raw = np.zeros((3, height, padded), np.uint8)
        self._planes = np.zeros((3, height, padded), np.uint8)
        self._labels = np.zeros((height, padded), np.uint16)
        self._nearest = np.empty((height, padded), np.uint16)
        self._runs = regions.allocate(height, width)
        self._count = min(self.settings.count, height * width)
        self._seeds, reach = _grid(height, width, self._count)
        self._reach = int(np.ceil(reach)) + 1
        step = (height * width / self._count) ** 0.5
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


def _at(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _splat(builder: Any, scalar: Any) -> Any:
    vector, lanes = ir.VectorType(ir.IntType(16), LANES), ir.VectorType(ir.IntType(32), LANES)
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(lanes, [0] * LANES))


# The two SIMD steps take addresses in bytes and 16-bit scalars: plain loops of 16-bit integers reach half of
# their speed at best, since numba computes in 64 bits.


@intrinsic
def _nearer(
    _: Any,
    p0: Any,
    p1: Any,
    p2: Any,
    table: Any,
    nearest: Any,
    labels: Any,
    c0: Any,
    c1: Any,
    c2: Any,
    dy: Any,
    name: Any,
) -> Any:
    """Assignment of 16 pixels: where a centre is nearer than what was found so far, take its label."""
    narrow, wide = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(16), LANES)

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        distance = builder.add(_splat(builder, args[9]), builder.load(_at(builder, args[3], wide), align=2))
        for plane, colour in zip(args[:3], args[6:9], strict=True):
            pixels = builder.zext(builder.load(_at(builder, plane, narrow), align=1), wide)
            off = builder.sub(pixels, _splat(builder, colour))
            distance = builder.add(distance, builder.mul(off, off))
        at_nearest, at_labels = _at(builder, args[4], wide), _at(builder, args[5], wide)
        known, label = builder.load(at_nearest, align=2), builder.load(at_labels, align=2)
        closer = builder.icmp_unsigned("<", distance, known)
        builder.store(builder.select(closer, distance, known), at_nearest, align=2)
        builder.store(builder.select(closer, _splat(builder, args[10]), label), at_labels, align=2)

    return types.void(p0, p1, p2, table, nearest, labels, c0, c1, c2, dy, name), generate


@intrinsic
def _gather(_: Any, p0: Any, p1: Any, p2: Any, labels: Any, stride: Any, rows: Any, name: Any, out: Any) -> Any:
    """Sums over a label in a column of 16-pixel blocks: count, row, three colours; 16 lanes each, to out."""
    narrow, wide = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(16), LANES)

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        sums = [cgutils.alloca_once_value(builder, ir.Constant(wide, [0] * LANES)) for _ in range(5)]
        wanted = _splat(builder, args[6])
        with cgutils.for_range(builder, args[5]) as loop:
            offset = builder.mul(loop.index, args[4])
            at = _at(builder, builder.add(args[3], builder.add(offset, offset)), wide)
            mask = builder.sext(builder.icmp_unsigned("==", builder.load(at, align=2), wanted), wide)
            row = _splat(builder, builder.trunc(loop.index, ir.IntType(16)))
            terms = [ir.Constant(wide, [1] * LANES), row]
            for plane in args[:3]:
                at = _at(builder, builder.add(plane, offset), narrow)
                terms.append(builder.zext(builder.load(at, align=1), wide))
            for total, term in zip(sums, terms, strict=True):
                builder.store(builder.add(builder.load(total), builder.and_(mask, term)), total)
        for i, total in enumerate(sums):
            at = builder.add(args[7], ir.Constant(args[7].type, 2 * LANES * i))
            builder.store(builder.load(total), _at(builder, at, wide), align=2)

    return types.void(p0, p1, p2, labels, stride, rows, name, out), generate


@njit(cache=True, nogil=True)
def _seed(planes: np.ndarray, centres: np.ndarray, width: int) -> None:
    """Move seeds to the lowest gradient of 3x3 pixels, as the paper does, and take the colours there."""
    height = planes.shape[1]
    for k in range(len(centres)):
        cx, cy = centres[k, 0], centres[k, 1]
        lowest = 1 << 30
        for y in range(max(cy - 1, 1), min(cy + 2, height - 1)):
            for x in range(max(cx - 1, 1), min(cx + 2, width - 1)):
                gradient = 0
                for c in range(3):
                    gradient += (np.int64(planes[c, y, x + 1]) - np.int64(planes[c, y, x - 1])) ** 2
                    gradient += (np.int64(planes[c, y + 1, x]) - np.int64(planes[c, y - 1, x])) ** 2
                if gradient < lowest:
                    lowest = gradient
                    centres[k, 0], centres[k, 1] = x, y
        for c in range(3):
            centres[k, 2 + c] = planes[c, centres[k, 1], centres[k, 0]]


@njit(cache=True, nogil=True)
def _assign(
    planes: np.ndarray,
    labels: np.ndarray,
    nearest: np.ndarray,
    centres: np.ndarray,
    table: np.ndarray,
    window: int,
    reach: int,
    width: int,
    top: int,
    bottom: int,
    step: int,
) -> None:
    """Give every `step`th row the label of the nearest centre; pixels out of reach keep theirs."""
    height, padded = labels.shape
    size, zero = height * padded, len(table) // 2
    at_planes, at_labels, at_nearest = planes.ctypes.data, labels.ctypes.data, nearest.ctypes.data
    for y in range(top, bottom, step):
        nearest[y] = np.uint16(65535)
    for k in range(len(centres)):
        cx, cy = int(centres[k, 0]), int(centres[k, 1])
        y0, y1 = max(top, cy - reach), min(bottom, cy + reach + 1)
        if y0 >= y1:
            continue
        y0 += (top - y0) % step
        x0 = min(max(cx - window // 2, 0), padded - window)
        c0, c1, c2 = centres[k, 2], centres[k, 3], centres[k, 4]
        for y in range(y0, y1, step):
            dy = table[zero + y - cy]
            offsets = table.ctypes.data + 2 * (zero + x0 - cx)
            for at in range(y * padded + x0, y * padded + x0 + window, LANES):
                p0 = at_planes + at
                found = at_nearest + 2 * at
                _nearer(
                    p0,
                    p0 + size,
                    p0 + 2 * size,
                    offsets,
                    found,
                    at_labels + 2 * at,
                    c0,
                    c1,
                    c2,
                    dy,
                    np.uint16(k),
                )
                offsets += 2 * LANES
    for y in range(top, bottom, step):
        labels[y, width:] = np.uint16(NOWHERE)


@njit(cache=True, nogil=True)
def _sum(
    planes: np.ndarray,
    labels: np.ndarray,
    centres: np.ndarray,
    sums: np.ndarray,
    window: int,
    reach: int,
    top: int,
    bottom: int,
    step: int,
) -> None:
    """Add to sums the count, x, y and colours of each label in its centre's window, every `step`th row."""
    height, padded = labels.shape
    size = height * padded
    at_planes, at_labels = planes.ctypes.data, labels.ctypes.data
    lanes = np.empty((5, LANES), np.uint16)
    for k in range(len(centres)):
        cx, cy = int(centres[k, 0]), int(centres[k, 1])
        y0, y1 = max(top, cy - reach), min(bottom, cy + reach + 1)
        if y0 >= y1:
            continue
        y0 += (top - y0) % step
        x0 = min(max(cx - window // 2, 0), padded - window)
        for y in range(y0, y1, step * PIECE):
            rows = min(PIECE, (y1 - y + step - 1) // step)
            for x in range(x0, x0 + window, LANES):
                p0 = at_planes + y * padded + x
                label = at_labels + 2 * (y * padded + x)
                _gather(p0, p0 + size, p0 + 2 * size, label, step * padded, rows, np.uint16(k), lanes.ctypes.data)
                n, xs, ys, c0, c1, c2 = 0, 0, 0, 0, 0, 0
                for i in range(LANES):
                    n += lanes[0, i]
                    xs += lanes[0, i] * i
                    ys += lanes[1, i]
                    c0 += lanes[2, i]
                    c1 += lanes[3, i]
                    c2 += lanes[4, i]
                sums[k, 0] += n
                sums[k, 1] += n * x + xs
                sums[k, 2] += n * y + ys * step
                sums[k, 3] += c0
                sums[k, 4] += c1
                sums[k, 5] += c2


@njit(cache=True, nogil=True)
def _band(height: int, chunk: int, chunks: int) -> tuple[int, int]:
    """Rows of a chunk: whole bands, so that every chunk starts on an even row."""
    bands = -(-height // BAND)
    return chunk * bands // chunks * BAND, min(height, (chunk + 1) * bands // chunks * BAND)


@njit(cache=True, nogil=True, parallel=True)
def _cluster(
    planes: np.ndarray,
    labels: np.ndarray,
    nearest: np.ndarray,
    centres: np.ndarray,
    table: np.ndarray,
    window: int,
    reach: int,
    width: int,
    rounds: int,
    step: int,
    chunks: int,
) -> None:
    """Rounds of assignment and update on every `step`th row, then an assignment of all rows, tidied."""
    height = labels.shape[0]
    for r in range(rounds + 1):
        every = step if r < rounds else 1
        sums = np.zeros((chunks, len(centres), 6), np.int64)
        for chunk in prange(chunks):
            top, bottom = _band(height, chunk, chunks)
            for y in range(top, bottom, BAND):
                end = min(bottom, y + BAND)
                _assign(planes, labels, nearest, centres, table, window, reach, width, y, end, every)
            if r < rounds:
                _sum(planes, labels, centres, sums[chunk], window, reach, top, bottom, every)
            elif reach >= TIDY:
                _close_across(labels, nearest, top, bottom, width)
        if r < rounds:
            _move(centres, sums)
    for chunk in prange(chunks if reach >= TIDY else 0):
        top, bottom = _band(height, chunk, chunks)
        _close_down(nearest, labels, top, bottom)


@njit(cache=True, nogil=True)
def _move(centres: np.ndarray, sums: np.ndarray) -> None:
    """Move each centre to the rounded mean of its sums (chunks, n, 6); one without pixels stays."""
    for k in range(len(centres)):
        n = 0
        for chunk in range(len(sums)):
            n += sums[chunk, k, 0]
        for c in range(5 if n > 0 else 0):
            total = 0
            for chunk in range(len(sums)):
                total += sums[chunk, k, c + 1]
            centres[k, c] = (2 * total + n) // (2 * n)


@njit(cache=True, nogil=True, parallel=True)
def _measure(planes: np.ndarray, labels: np.ndarray, centres: np.ndarray, window: int, reach: int, chunks: int) -> None:
    """Move centres to the means of their labels, from every 4th row."""
    sums = np.zeros((chunks, len(centres), 6), np.int64)
    for chunk in prange(chunks):
        top, bottom = _band(labels.shape[0], chunk, chunks)
        _sum(planes, labels, centres, sums[chunk], window, reach, top, bottom, 4)
    _move(centres, sums)


@njit(cache=True, nogil=True)
def _close_across(labels: np.ndarray, out: np.ndarray, top: int, bottom: int, width: int) -> None:
    """Copy labels to out; stretches of one or two pixels between two of one label take that label."""
    for y in range(top, bottom):
        row, to = labels[y, :width], out[y, :width]
        to[:] = row
        if width >= 5:
            a, b, c, d, e = row[:-4], row[1:-3], row[2:-2], row[3:-1], row[4:]
            inner = to[2:-2]
            for x in range(len(inner)):
                near = b[x] if b[x] == d[x] or b[x] == e[x] else c[x]
                inner[x] = a[x] if a[x] == d[x] else near


@njit(cache=True, nogil=True)
def _close_down(labels: np.ndarray, out: np.ndarray, top: int, bottom: int) -> None:
    """The same from above to below."""
    for y in range(top, bottom):
        if y < 2 or y >= len(labels) - 2:
            out[y] = labels[y]
            continue
        a, b, c, d, e = labels[y - 2], labels[y - 1], labels[y], labels[y + 1], labels[y + 2]
        to = out[y]
        for x in range(len(to)):
            near = b[x] if b[x] == d[x] or b[x] == e[x] else c[x]
            to[x] = a[x] if a[x] == d[x] else near


@njit(cache=True, nogil=True)
def _residual(planes: np.ndarray, labels: np.ndarray, centres: np.ndarray, dx: int, dy: int, width: int) -> float:
    """Mean L1 colour difference between every 8th pixel and the superpixel that was at (dx, dy) before it."""
    total, n = 0, 0
    height = labels.shape[0]
    for y in range(max(0, dy), min(height, height + dy), 8):
        for x in range(max(0, dx), min(width, width + dx), 8):
            for c in range(3):
                total += abs(np.int64(planes[c, y, x]) - np.int64(centres[labels[y - dy, x - dx], 2 + c]))
            n += 1
    return total / n


@njit(cache=True, nogil=True)
def _thumbnail(luma: np.ndarray, size: int) -> np.ndarray:
    """Means of squares of `size` pixels, those at the right and below of what is left; OpenCV's takes 0.7 ms."""
    height, width = luma.shape
    out = np.empty((-(-height // size), -(-width // size)), np.uint8)
    sums = np.empty(width, np.uint16)
    for j in range(len(out)):
        rows = luma[j * size : (j + 1) * size]
        sums[:] = 0
        for y in range(len(rows)):
            row = rows[y]
            for x in range(width):
                sums[x] = np.uint16(sums[x] + np.uint16(row[x]))
        for i in range(out.shape[1]):
            square = sums[i * size : (i + 1) * size]
            out[j, i] = square.sum() // (len(square) * len(rows))
    return out


@njit(cache=True, nogil=True)
def _motion(before: np.ndarray, after: np.ndarray, most: int) -> tuple[int, int]:
    """Camera motion (x, y) in pixels: the translation of least mean difference, refined by parabolas."""
    height, width = before.shape
    most = min(most, min(height, width) // 4)
    size = 2 * most + 3
    cost = np.full((size, size), np.inf)  # one wider on each side
    best_i, best_j = most + 1, most + 1
    for j in range(-most, most + 1):
        for i in range(-most, most + 1):
            total = 0
            for y in range(max(0, j), min(height, height + j)):
                old = before[y - j, max(0, -i) : min(width, width - i)]
                new = after[y, max(0, i) : min(width, width + i)]
                row = np.int32(0)
                for x in range(len(old)):
                    row += np.int32(abs(np.int32(old[x]) - np.int32(new[x])))
                total += row
            cost[j + most + 1, i + most + 1] = total / ((height - abs(j)) * (width - abs(i)))
    for j in range(1, size - 1):
        for i in range(1, size - 1):
            if cost[j, i] < cost[best_j, best_i]:
                best_i, best_j = i, j
    least = cost[best_j, best_i]
    dx = _lowest(cost[best_j, best_i - 1], least, cost[best_j, best_i + 1]) + best_i - most - 1
    dy = _lowest(cost[best_j - 1, best_i], least, cost[best_j + 1, best_i]) + best_j - most - 1
    return round(THUMB * dx), round(THUMB * dy)


@njit(cache=True, nogil=True)
def _lowest(left: float, middle: float, right: float) -> float:
    """Where a parabola through three costs is lowest, -0.5 .. 0.5."""
    bend = left + right - 2 * middle
    return (left - right) / (2 * bend) if 0 < bend < np.inf else 0.0


@njit(cache=True, nogil=True)
def _shift(planes: np.ndarray, centres: np.ndarray, dx: int, dy: int, width: int) -> None:
    """Move centres; one that leaves the frame comes in on the other side, with the colour it finds there."""
    height = planes.shape[1]
    for k in range(len(centres)):
        x, y = centres[k, 0] + dx, centres[k, 1] + dy
        centres[k, 0], centres[k, 1] = x % width, y % height
        if not (0 <= x < width and 0 <= y < height):
            for c in range(3):
                centres[k, 2 + c] = planes[c, y % height, x % width]


@njit(cache=True, nogil=True)
def _split(
    labels: np.ndarray, centres: np.ndarray, areas: np.ndarray, count: int, limit: float, width: int
) -> np.ndarray:
    """Add centres, up to count, towards the far ends of the largest superpixels; colours stay the whole's."""
    total = len(centres)
    place = np.full(total, -1, np.int32)
    n = 0
    for k in np.argsort(-areas, kind="mergesort")[: count - total]:
        if areas[k] * count > limit * labels.shape[0] * width:
            place[k] = total + n
            n += 1
    out = np.empty((total + n, 5), np.int16)
    out[:total] = centres
    farthest = np.full(total + n, -1, np.int64)
    for y in range(0, labels.shape[0] if n > 0 else 0, 4):
        for x in range(0, width, 4):
            k = labels[y, x]
            i = place[k]
            if i >= 0:
                dx, dy = x - int(centres[k, 0]), y - int(centres[k, 1])
                if dx * dx + dy * dy > farthest[i]:
                    farthest[i] = dx * dx + dy * dy
                    out[i] = centres[k]
                    out[i, 0] += int(0.6 * dx)
                    out[i, 1] += int(0.6 * dy)
    for i in range(total, total + n):
        if farthest[i] < 0:  # too small for the sample: at the end of the list it is never assigned a pixel
            out[i] = out[0]
    return out


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
