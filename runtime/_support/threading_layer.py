"""Serialise numba's parallel kernels where its threading layer is not safe for several Python threads.

numba ends the whole process when two Python threads start parallel kernels at once under its `workqueue` layer.
numba falls back on `workqueue` where neither TBB nor OpenMP is installed. One segmenter starts its kernels in sequence;
two segmenters in two threads would not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from importlib import import_module
from threading import RLock
from typing import ParamSpec, TypeVar

import numba

LAYERS = (("tbb", "tbbpool"), ("omp", "omppool"), ("workqueue", "workqueue"))
"""Threading layers in numba's order of preference, and their modules."""

log = logging.getLogger("shls")

P = ParamSpec("P")
R = TypeVar("R")
_turn = RLock()


def threading_layers() -> list[str]:
    """Return the threading layers that can be loaded here, in numba's order of preference.

    Examples
    --------
    >>> "workqueue" in threading_layers()
    True
    """
    found = []
    for layer, module in LAYERS:
        try:
            import_module(f"numba.np.ufunc.{module}")
            found.append(layer)
        except ImportError:
            continue
    return found


def safe() -> bool:
    """Return True if several Python threads may run parallel kernels at once.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch(f"{__name__}.threading_layers", return_value=["workqueue"]):
    ...     safe()
    False
    """
    if getattr(numba.config, "THREADING_LAYER", "default") == "workqueue":
        return False
    return bool({"tbb", "omp"} & set(threading_layers()))


def in_turn(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that one thread at a time runs it, where numba needs that.

    All decorated functions share one lock.

    Examples
    --------
    >>> @in_turn
    ... def total(numbers):
    ...     return sum(numbers)
    >>> total([1, 2])
    3
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        turn: AbstractContextManager[object] = nullcontext() if _safe_here() else _turn
        with turn:
            return function(*args, **kwargs)

    return run


def _safe_here() -> bool:
    """Return `safe()`, asked once when the first kernel runs: numba has chosen its layer by then."""
    global _known
    if _known is None:
        _known = safe()
        if not _known:
            log.info("numba: neither TBB nor OpenMP is installed, so segmenters in several threads wait for each other")
    return _known


_known: bool | None = None
