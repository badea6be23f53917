"""Whether numba's parallel kernels may be run by several Python threads at once, and what to do where not.

numba ends the whole process when two threads start parallel kernels at once under its own `workqueue`, which it
falls back on where neither TBB nor OpenMP is. One segmenter starts them one after the other; two of them, in two
threads, would not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from importlib import import_module
from threading import RLock
from typing import ParamSpec, TypeVar

import numba

LAYERS = (("tbb", "tbbpool"), ("omp", "omppool"), ("workqueue", "workqueue"))
"""Threading layers in numba's order of preference, and their modules."""

P = ParamSpec("P")
R = TypeVar("R")
_turn = RLock()


def threading_layers() -> list[str]:
    """Threading layers that load here, in numba's order of preference."""
    found = []
    for layer, module in LAYERS:
        try:
            import_module(f"numba.np.ufunc.{module}")
            found.append(layer)
        except ImportError:
            continue
    return found


def safe() -> bool:
    """Tell whether several threads may run parallel kernels at once."""
    if getattr(numba.config, "THREADING_LAYER", "default") == "workqueue":
        return False
    return bool({"tbb", "omp"} & set(threading_layers()))


def in_turn(function: Callable[P, R]) -> Callable[P, R]:
    """Let one thread at a time run what is marked so, where numba demands it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        turn: AbstractContextManager[object] = nullcontext() if _safe_here() else _turn
        with turn:
            return function(*args, **kwargs)

    return run


def _safe_here() -> bool:
    global _known
    if _known is None:
        _known = safe()
    return _known


_known: bool | None = None
"""Asked once, when the first kernel runs: numba has chosen by then."""
