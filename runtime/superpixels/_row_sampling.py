"""Row subsampling: which label rows are computed and how the others are filled.

With a step of n, rows 1, n + 1, 2 n + 1 and so on are computed, because the half-resolution grid reads odd rows. Row
0 is computed only if all rows are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ._color_planes import LANES


@njit(cache=True, nogil=True)
def row_of(j: int, every: int) -> int:
    """Return the j-th sampled row."""
    return j * every + min(1, every - 1)


@njit(cache=True, nogil=True)
def count_rows(height: int, every: int) -> int:
    """Return the number of sampled rows."""
    return (height - row_of(0, every) + every - 1) // every


@intrinsic
def _like_nearer(_: Any, here: Any, rise: Any, fall: Any, size: Any, above: Any, below: Any, out: Any) -> Any:
    """Choose labels of 16 pixels: the label above or below, whichever pixel has the nearer colour.

    LLVM does not vectorise the plain loop: it would have to test too many arrays for overlap.
    """
    narrow, wide = (ir.VectorType(ir.IntType(bits), LANES) for bits in (8, 16))

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        def load(address: Any, kind: Any, align: int) -> Any:
            return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)

        def apart(offset: Any) -> Any:
            total, plane = None, args[0]
            for _ in range(3):
                one, two = load(plane, narrow, 1), load(builder.add(plane, offset), narrow, 1)
                more = builder.icmp_unsigned(">", one, two)
                off = builder.sub(builder.select(more, one, two), builder.select(more, two, one))
                off = builder.zext(off, wide)
                total = off if total is None else builder.add(total, off)
                plane = builder.add(plane, args[3])
            return total

        up = builder.icmp_unsigned("<=", apart(args[1]), apart(args[2]))
        label = builder.select(up, load(args[4], wide, 2), load(args[5], wide, 2))
        builder.store(label, builder.inttoptr(args[6], wide.as_pointer()), align=2)

    return types.void(here, rise, fall, size, above, below, out), generate


@njit(cache=True, nogil=True)
def choose(planes: np.ndarray, labels: np.ndarray, y: int, up: int, down: int) -> None:
    """Label row y from two other rows, pixel by pixel, by the nearer colour; the first row wins a tie."""
    height, padded = labels.shape
    at_planes, at_labels = planes.ctypes.data, labels.ctypes.data
    for x in range(0, padded, LANES):
        _like_nearer(
            at_planes + y * padded + x,
            (up - y) * padded,
            (down - y) * padded,
            height * padded,
            at_labels + 2 * (up * padded + x),
            at_labels + 2 * (down * padded + x),
            at_labels + 2 * (y * padded + x),
        )
