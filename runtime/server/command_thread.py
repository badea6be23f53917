"""Thread that carries out commands of other threads, one after the other, between the steps of its own work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, TypeVar

from ..errors import BadInput, ShlsError

T = TypeVar("T")
PATIENCE = 10.0
"""Longest time for which the end of the thread is awaited, seconds: a first start may compile for a minute."""
ENDED = "session: has ended. Start the server again"


class CommandThread(ABC):
    """Thread with a queue of commands.

    A command that fails with a `ShlsError` fails its Future. Any other exception is a defect: it ends the thread, and
    `failure` has it.

    Attributes
    ----------
    failure : BaseException or None
        Exception that ended the thread.

    Examples
    --------
    >>> class Idle(CommandThread):
    ...     def _work(self):
    ...         self.wait(0.1)
    ...     _begin = _finish = _notify = lambda self: None
    >>> idle = Idle("idle")
    >>> idle._thread.start()
    >>> idle.submit(lambda: 2 + 2).result()
    4
    >>> idle.stop()
    """

    def __init__(self, name: str) -> None:
        self.failure: BaseException | None = None
        self._commands: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = Condition()
        self._stopping = False
        self._thread = Thread(target=self._guarded, name=name, daemon=True)

    @abstractmethod
    def _begin(self) -> None:
        """Work that comes before all commands."""

    @abstractmethod
    def _work(self) -> None:
        """Do one step of the work, or wait for a moment."""

    @abstractmethod
    def _finish(self) -> None:
        """Free what the thread holds."""

    @abstractmethod
    def _notify(self) -> None:
        """Say that a command was carried out, or that the thread has ended."""

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Let the thread call a function; the Future has its result."""
        future: Future[T] = Future()
        with self._changed:
            if self._stopping:
                future.set_exception(BadInput(ENDED))
            else:
                self._commands.append((future, work))
                self._changed.notify_all()
        return future

    def stop(self) -> None:
        """End the thread and wait for its end, but not for a long computation; may be called twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(PATIENCE)

    def has_commands(self) -> bool:
        """Return whether commands wait, or the thread is to end."""
        return bool(self._commands) or self._stopping

    def wait(self, seconds: float) -> None:
        """Wait until a command comes, or for a time; called on the thread."""
        with self._changed:
            self._changed.wait_for(self.has_commands, seconds)

    def _guarded(self) -> None:
        try:
            self._begin()
            while not self._stopping:
                self._carry_out()
                if not self._stopping:
                    self._work()
        except BaseException as error:  # raised again by whoever runs the server
            self.failure = error
        with self._changed:
            self._stopping = True
            left, self._commands = list(self._commands), deque()
        for future, _ in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(BadInput(ENDED))
        self._finish()
        self._notify()

    def _carry_out(self) -> None:
        while True:
            with self._changed:
                if not self._commands or self._stopping:
                    return
                future, work = self._commands.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except ShlsError as error:
                future.set_exception(error)
            except BaseException as error:
                future.set_exception(error)
                raise
            else:
                future.set_result(result)
            self._notify()
