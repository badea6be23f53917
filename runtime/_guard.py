"""Guard of a segmenter's methods: one thread at a time, no use after a fork or after `close`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

from ._support.threading_layer import in_turn
from .errors import BadInput

P = ParamSpec("P")
R = TypeVar("R")


class Guarded(Protocol):
    """Object whose methods are guarded.

    Attributes
    ----------
    _lock : RLock
        Held while a method runs.
    _process : int
        Process id in which the object was made.
    _closed : bool
    """

    _lock: RLock  # type: ignore[valid-type]  # a factory function under Python 3.10 to 3.12
    _process: int
    _closed: bool


S = TypeVar("S", bound=Guarded)


def guarded(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let one thread at a time into a method, and none after a fork or `close`.

    Raises
    ------
    BadInput
        When the method is called after a fork or after `close`.
    """

    one_at_a_time = in_turn(method)

    @wraps(method)
    def run(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        if os.getpid() != self._process:
            raise BadInput(
                "segmenter: was opened in another process, and its threads did not survive the fork. "
                "Open it in the worker process, or use the start method 'spawn'"
            )
        with self._lock:
            if self._closed:
                raise BadInput("segmenter: was closed. Open another one with `open_segmenter`")
            return one_at_a_time(self, *args, **kwargs)

    return cast("Callable[Concatenate[S, P], R]", run)
