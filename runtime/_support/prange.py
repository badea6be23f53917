"""Compile `prange` loops in parallel and nothing else: half the compilation time of ``parallel=True``."""

from __future__ import annotations

from typing import Any

from numba.core.cpu_options import ParallelOptions

OTHERS = ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion")
PRANGE_ONLY: Any = ParallelOptions(dict.fromkeys(OTHERS, False))  # type: ignore[no-untyped-call]  # stubs know bool
"""Value of `parallel` in `numba.njit`.

With ``parallel=True``, numba also turns every array expression and every new array into a parallel loop of its own,
which is compiled separately. The kernels write such loops by hand where they pay.
"""
