"""Compile `prange` loops in parallel and nothing else: half the compilation time of ``parallel=True``."""

from __future__ import annotations

from numba.core.cpu_options import ParallelOptions

PRANGE_ONLY = ParallelOptions(
    dict.fromkeys(("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False)
)
"""Value of `parallel` in `numba.njit`.

With ``parallel=True``, numba also turns every array expression and every new array into a parallel loop of its own,
which is compiled separately. The kernels write such loops by hand where they pay.
"""
