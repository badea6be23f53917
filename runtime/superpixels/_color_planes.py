"""Colour planes for superpixels: luma / 2, R - B and 2 G - R - B of a lightly smoothed image, 7 bits each."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from .._support.prange import PRANGE_ONLY
from ..errors import BadInput, ShapeMismatch

LANES = 16  # pixels per SIMD step


def checked_image(image: np.ndarray) -> np.ndarray:
    """Return an image whose rows are contiguous, as `to_planes` needs it; gaps between rows are allowed.

    Raises
    ------
    ShapeMismatch
        If the image is not (H, W, 3), or empty.
    BadInput
        If it is not uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ShapeMismatch(f"image: wrong shape (got {image.shape}, expected (height, width, 3) RGB)")
    if image.dtype != np.uint8:
        raise BadInput(f"image: wrong type (got {image.dtype}, expected uint8)")
    return image if image.strides[1:] == (3, 1) else np.ascontiguousarray(image)


def to_planes(image: np.ndarray, planes: np.ndarray, chunks: int) -> None:
    """Compute the colour planes of an image.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, from `checked_image`
    planes : (3, H, P) uint8, out; P is at least W and a multiple of LANES
        0..127: (R + 2 G + B) / 8, and R - B + 64, 2 G - R - B + 64 clipped; then smoothed 1-2-1 both ways.
        Columns from W on are left alone.
    chunks : bands of rows that are worked on in parallel
    """
    width = image.shape[1]
    if width < LANES:
        image = np.pad(image, ((0, 0), (0, LANES - width), (0, 0)))
    # An address, since numba would compile again for arrays that are read-only or have gaps.
    _fill(image.ctypes.data, image.strides[0], planes, width, chunks)


@intrinsic
def _opponent(_: Any, pixels: Any, p0: Any, p1: Any, p2: Any) -> Any:
    """Convert 16 RGB pixels to three planes; in explicit SIMD, because LLVM turns the plain loop into gathers."""
    narrow, wide = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(16), LANES)
    packed = ir.VectorType(ir.IntType(8), 3 * LANES)
    order = ir.VectorType(ir.IntType(32), LANES)

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        def constant(value: int) -> Any:
            return ir.Constant(wide, [value] * LANES)

        def at(address: Any, kind: Any) -> Any:
            return builder.inttoptr(address, kind.as_pointer())

        def clipped(value: Any) -> Any:
            value = builder.add(value, constant(64))
            value = builder.select(builder.icmp_signed("<", value, constant(0)), constant(0), value)
            return builder.select(builder.icmp_signed(">", value, constant(127)), constant(127), value)

        def channel(c: int) -> Any:
            lanes = ir.Constant(order, [3 * i + c for i in range(LANES)])
            return builder.zext(builder.shuffle_vector(block, ir.Constant(packed, ir.Undefined), lanes), wide)

        block = builder.load(at(args[0], packed), align=1)
        red, green, blue = channel(0), channel(1), channel(2)
        both, twice = builder.add(red, blue), builder.add(green, green)
        luma = builder.lshr(builder.add(both, twice), constant(3))
        values = luma, clipped(builder.sub(red, blue)), clipped(builder.sub(twice, both))
        for address, value in zip(args[1:], values, strict=True):
            builder.store(builder.trunc(value, narrow), at(address, narrow), align=1)

    return types.void(pixels, p0, p1, p2), generate


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _fill(at_image: int, stride: int, planes: np.ndarray, width: int, chunks: int) -> None:
    """Convert and smooth row by row, so that converted rows stay in the first-level cache."""
    height, padded = planes.shape[1:]
    for chunk in prange(chunks):
        top, bottom = chunk * height // chunks, (chunk + 1) * height // chunks
        recent = np.empty((3, 3, padded), np.uint8)  # row modulo 3, channel
        column = np.empty(width + 2, np.uint16)
        for y in range(max(top - 1, 0), top + 1):
            _convert_row(at_image + y * stride, recent[y % 3], width)
        for y in range(top, bottom):
            up, down = max(y - 1, 0), min(y + 1, height - 1)
            _convert_row(at_image + down * stride, recent[down % 3], width)
            for c in range(3):
                _smooth_row(recent[up % 3, c], recent[y % 3, c], recent[down % 3, c], column, planes[c, y])


@njit(cache=True, nogil=True)
def _convert_row(at_row: int, out: np.ndarray, width: int) -> None:
    padded, at_out = out.shape[1], out.ctypes.data
    width = max(width, LANES)
    for block in range(0, width, LANES):
        x = min(block, width - LANES)  # the last block overlaps the one before
        _opponent(at_row + 3 * x, at_out + x, at_out + padded + x, at_out + 2 * padded + x)


@njit(cache=True, nogil=True)
def _smooth_row(above: np.ndarray, here: np.ndarray, below: np.ndarray, column: np.ndarray, out: np.ndarray) -> None:
    """Filter by 1-2-1 in both directions with repeated borders; `column` is work space of width + 2."""
    width = len(column) - 2
    left, middle, right = column[:width], column[1 : width + 1], column[2:]
    u16 = np.uint16  # numba widens every sum to 64 bits: casting back lets LLVM keep 16
    for x in range(width):
        middle[x] = u16(u16(above[x]) + u16(u16(here[x]) * u16(2)) + u16(below[x]))
    column[0], column[width + 1] = column[1], column[width]
    for x in range(width):
        out[x] = np.uint8(u16(left[x] + right[x] + u16(middle[x] * u16(2)) + u16(8)) >> u16(4))
