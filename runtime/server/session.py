"""Session of `shls serve`: the one thread that reads the source, follows the objects and carries out commands."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any, Literal, TypeVar

import numpy as np

from ..errors import BadInput, ShlsError
from ..io.base import Sink
from ..io.objects import NamedMask, ObjectTable
from ..io.synthetic import noise
from ..pipeline import warm_up
from ..prompts.first_frame import Solver
from ..prompts.grab_cut import mask_from_prompt
from ..prompts.prompt import Prompt
from ..prompts.timeline import Entry
from ..segmenter import VideoSegmenter
from ..types import Frame, Mask
from .drafts import MarkRequest
from .follower import Follower, end_of, mark_of
from .history import History
from .marks import FirstMarks
from .objects import ObjectRegistry, SessionObject
from .readers import Reader
from .recordings import Recorder

State = Literal["starting", "playing", "paused", "ended"]
IDLE = 0.25
"""Seconds between two looks at a source that gives nothing."""
RECENT = 30
"""Frames over which the frame rate is measured."""

log = logging.getLogger("shls")
T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """Picture that the viewers see.

    Attributes
    ----------
    number : int
        Number of the picture; grows with each change.
    frame : Frame
        Frame of the source.
    mask : Mask
        Objects of the frame.
    known : bool
        Whether the objects were followed in this frame.
    """

    number: int
    frame: Frame
    mask: Mask
    known: bool


@dataclass(frozen=True)
class Draft:
    """Mask of an object that a person has not accepted yet.

    Attributes
    ----------
    request : MarkRequest
        Prompt of the mask.
    frame : int
        Number of the frame.
    mask : ndarray
        (H, W) bool.
    fresh : bool
        Whether no earlier mask of the object was corrected.
    """

    request: MarkRequest
    frame: int
    mask: np.ndarray
    fresh: bool


class Session:
    """Follow the objects of one source, and do what the controller asks.

    All methods may be called from any thread; those that return a Future are carried out between two frames.

    Parameters
    ----------
    reader : Reader
        Source; the session closes it.
    segmenter : VideoSegmenter
        Follows the objects; the session does not close it.
    mask : NamedMask, optional
        Objects of the first frame.
    prompts : sequence of Prompt
        Objects of the first frame.
    entries : sequence of Entry
        Prompts of later frames.
    loop : bool
        Begin a recording again at its end.
    sink : Sink, optional
        Receives each result.
    table : ObjectTable, optional
        Gets the names of the objects.
    solve : callable
        Finds the object of a prompt.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import SyntheticSource
    >>> from shls.runtime.segmenter import open_segmenter
    >>> from shls.runtime.server.readers import open_reader
    >>> reader = open_reader(lambda start: SyntheticSource(3, size=(120, 160)))
    >>> with Session(reader, open_segmenter(device="cpu")) as session:
    ...     found = session.mark(MarkRequest(boxes=((60, 40, 40, 40),), name="disc")).result()
    ...     session.seek(2).result()
    >>> found.object_id, found.name
    (1, 'disc')
    """

    def __init__(
        self,
        reader: Reader,
        segmenter: VideoSegmenter,
        *,
        mask: NamedMask | None = None,
        prompts: Sequence[Prompt] = (),
        entries: Sequence[Entry] = (),
        loop: bool = False,
        sink: Sink | None = None,
        table: ObjectTable | None = None,
        solve: Solver = mask_from_prompt,
    ) -> None:
        self.reader, self.history = reader, History(reader.live)
        self.objects = ObjectRegistry(table)
        self.follower = Follower(segmenter, self.objects, reader.live)
        self.recorder = Recorder(reader.info)
        self.state: State = "starting"
        self.problem = ""
        self.shown: Shown | None = None
        self.draft: Draft | None = None
        self.failure: BaseException | None = None
        self.loop = loop
        self.listeners: list[Callable[[], None]] = []
        self._first_marks = FirstMarks(mask, prompts, entries, solve)
        self._sink, self._solve = sink, solve
        self._commands: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = Condition()
        self._stopping = False
        self.age: float | None = None
        self._due = 0.0
        self._times: deque[float] = deque(maxlen=RECENT)
        self._thread = Thread(target=self._guarded, name="session", daemon=True)
        self._thread.start()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session; may be called twice. A recording is completed."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def fps(self) -> float:
        """Frames per second of late; 0 while nothing is followed."""
        times = list(self._times)
        if len(times) < 2 or time.perf_counter() - times[-1] > 2:
            return 0.0
        return (len(times) - 1) / max(1e-6, times[-1] - times[0])

    def play(self) -> Future[None]:
        """Go on from the frame that is shown; from the first frame if the recording has ended."""
        return self._submit(self._play)

    def pause(self) -> Future[None]:
        """Keep the frame that is shown."""
        return self._submit(self._pause)

    def step(self) -> Future[None]:
        """Follow the objects into the next frame, and pause."""
        return self._submit(self._step_once)

    def seek(self, frame: int) -> Future[None]:
        """Show a frame of a recording, and pause; BadInput if there is no such frame."""
        return self._submit(lambda: self._seek(frame))

    def restart(self) -> Future[None]:
        """Show the first frame of a recording, and pause."""
        return self._submit(lambda: self._seek(self.reader.first))

    def preview(self, request: MarkRequest) -> Future[Draft]:
        """Pause, and find the mask of a prompt without following it."""
        return self._submit(lambda: self._preview(request))

    def cancel(self) -> Future[None]:
        """Forget the mask that was not accepted."""
        return self._submit(self._cancel)

    def accept(self, name: str | None = None) -> Future[SessionObject]:
        """Follow the previewed object from the shown frame on; BadInput if there is no preview."""
        return self._submit(lambda: self._accept(name))

    def mark(self, request: MarkRequest) -> Future[SessionObject]:
        """Find the mask of a prompt, and follow the object from the shown frame on."""

        def mark() -> SessionObject:
            self._preview(request)
            return self._accept(request.name)

        return self._submit(mark)

    def change(
        self, object_id: int, name: str | None = None, color: str | None = None, hidden: bool | None = None
    ) -> Future[SessionObject]:
        """Rename, recolour, hide or show an object."""
        return self._submit(lambda: self.objects.change(object_id, name, color, hidden))

    def remove(self, object_id: int) -> Future[None]:
        """Remove an object from all frames."""
        return self._submit(lambda: self._remove(object_id))

    def end(self, object_id: int) -> Future[None]:
        """Follow an object no longer from the shown frame on; its earlier masks stay."""
        return self._submit(lambda: self._end(object_id))

    def record(self, on: bool) -> Future[None]:
        """Start or stop a recording."""
        return self._submit(self.recorder.start if on else self.recorder.stop)

    # The rest runs on the session's thread.

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._changed:
            if self._stopping or self.failure is not None:
                future.set_exception(BadInput("session: has ended. Start the server again"))
                return future
            self._commands.append((future, work))
            self._changed.notify_all()
        return future

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:  # raised again by whoever runs the server
            self.failure = error
        finally:
            with self._changed:
                self._stopping = True
                for future, _ in self._commands:
                    if future.set_running_or_notify_cancel():
                        future.set_exception(BadInput("session: has ended. Start the server again"))
                self._commands.clear()
            with suppress(ShlsError):
                self.recorder.close()
            self.reader.close()
            self._notify()

    def _run(self) -> None:
        warm_up(self.follower.segmenter, noise(self.reader.size))
        self._show_first()
        while not self._stopping:
            self._carry_out()
            if self.state == "playing" and not self._stopping:
                self._advance()
            elif not self._stopping:
                self._wait(IDLE)

    def _show_first(self) -> None:
        frame = self.reader.newest(5.0) if self.reader.live else self.reader.at(self.reader.first)
        if frame is None:
            raise BadInput("source: gave no frame (expected at least one). Check the source and the start")
        self._publish(frame, Mask(np.zeros(self.reader.size, np.uint8), {}), known=False)
        marked = self._first_marks.first(frame, self.objects)
        for mark in marked:
            self._follow(frame, self.follower.mark(frame, mark, self._here.mask))
        self.state = "playing" if marked or self.reader.live else "paused"
        self._notify()

    def _carry_out(self) -> None:
        """Carry out the commands that came."""
        while True:
            with self._changed:
                if not self._commands:
                    return
                future, work = self._commands.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except ShlsError as error:
                future.set_exception(error)
            except BaseException as error:
                future.set_exception(error)
                raise
            self._notify()

    def _wait(self, seconds: float) -> None:
        """Wait until a command comes, or for a time."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._commands) or self._stopping, seconds)

    def _advance(self) -> None:
        """Follow the objects into the next frame, once it is due."""
        if self.reader.live:
            frame = self.reader.newest(IDLE)
            if frame is not None:
                self._process(frame)
            return
        pause = self._due - time.perf_counter()
        if pause > 0.001:
            self._wait(pause)
            if self._commands or time.perf_counter() < self._due - 0.001:
                return
        self._due = max(self._due + 1 / self.reader.fps, time.perf_counter() - 1 / self.reader.fps)
        self._next()

    def _next(self) -> None:
        """Follow the objects into the next frame of a recording, or end."""
        try:
            frame = self.reader.at(self._here.frame.index + 1)
        except ShlsError as error:
            frame, self.problem = None, str(error)
        if frame is not None:
            self._process(frame)
        elif self.loop and not self.problem and self.state == "playing":
            self._show_at(self.reader.first)
        else:
            self.state = "ended"
            self._notify()

    def _process(self, frame: Frame) -> None:
        try:
            self._sync()
            mask = self.follower.step(frame)
            for mark in self._first_marks.later(frame, self.objects, self.follower.ids):
                mask = self.follower.mark(frame, mark, mask)
        except ShlsError as error:
            self.problem, self.state = str(error), "paused"
            log.warning("%s", error)
            self._notify()
            return
        self._times.append(time.perf_counter())
        self._follow(frame, mask)

    def _follow(self, frame: Frame, mask: Mask) -> None:
        """Keep and show the result of a frame."""
        if self.follower.marks:
            self.history.put(frame, mask, {one.object_id: one.serial for one in self.objects.all()})
        if self._sink is not None and self.follower.ids:
            self._sink.write(frame, mask)
        self.recorder.write(frame, mask, self.objects.all())
        self.age = self.reader.age(frame)
        self._publish(frame, mask, known=bool(self.follower.ids))

    def _publish(self, frame: Frame, mask: Mask, *, known: bool) -> None:
        number = 1 if self.shown is None else self.shown.number + 1
        self.shown = Shown(number, frame, mask, known)
        self._notify()

    def _notify(self) -> None:
        for listener in list(self.listeners):
            listener()

    @property
    def _here(self) -> Shown:
        if self.shown is None:
            raise BadInput("session: no frame yet. Wait until the source gives one")
        return self.shown

    def _play(self) -> None:
        if self.state == "ended":
            self._show_at(self.reader.first)
        self.draft, self.problem = None, ""
        self.state, self._due = "playing", time.perf_counter()

    def _pause(self) -> None:
        if self.state == "playing":
            self.state = "paused"

    def _step_once(self) -> None:
        self.draft, self.problem, self.state = None, "", "paused"
        if self.reader.live:
            frame = self.reader.newest(1.0)
            if frame is None:
                raise BadInput("source: gives no frame now. Wait until the source is back")
            self._process(frame)
        else:
            self._next()

    def _seek(self, index: int) -> None:
        if self.reader.live:
            raise BadInput("seek: the source is live (expected a recording). Pause instead")
        self._here  # noqa: B018  # raises before the first frame
        if index < self.reader.first:
            raise BadInput(f"frame {index}: is before the first frame, {self.reader.first}. Choose a later frame")
        self.draft, self.problem = None, ""
        self._show_at(index)
        self.state = "paused"

    def _show_at(self, index: int) -> None:
        """Show a frame of a recording with the mask that is known."""
        frame = self.reader.at(index)
        if frame is None:
            raise BadInput(f"frame {index}: there is no such frame. The last frame is {(self.reader.count or 1) - 1}")
        result = self.history.get(index)
        if result is None:
            self._publish(frame, Mask(np.zeros(self.reader.size, np.uint8), {}), known=False)
            if self.follower.first == index:
                self._sync()
        else:
            objects = {one.object_id: one for one in self.objects.all()}
            scores = {at: score for at, score in result.scores.items() if at in objects}
            self._publish(frame, Mask(result.labels(objects), scores), known=True)

    def _sync(self) -> None:
        """Put the segmenter at the frame that is shown."""
        here = self._here
        if self.follower.at == here.frame.index or not self.follower.marks:
            self.follower.at = here.frame.index
            return
        mask = self.follower.resume(here.frame, here.mask.labels if here.known else None, self.reader.at)
        if not here.known and self.follower.ids:
            self._follow(here.frame, mask)

    def _preview(self, request: MarkRequest) -> Draft:
        self._pause()
        if request.object_id is not None:
            self.objects.get(request.object_id)
        if request.frame is not None and request.frame != self._here.frame.index:
            self._go_back(request.frame)
        here = self._here
        current = None if request.object_id is None else here.mask.labels == request.object_id
        found = request.solve(here.frame.image, current, self._solve)
        self.draft = Draft(request, here.frame.index, found, current is None or not current.any())
        return self.draft

    def _go_back(self, index: int) -> None:
        """Show a frame again that the controller saw a moment ago."""
        frame = self.reader.at(index)
        result = self.history.get(index)
        if frame is None:
            raise BadInput(f"frame {index}: there is no such frame. Use the frame that is shown now")
        if not self.reader.live:
            self._show_at(index)
            return
        objects = {one.object_id: one for one in self.objects.all()}
        labels = np.zeros(self.reader.size, np.uint8) if result is None else result.labels(objects)
        self._publish(frame, Mask(labels, {} if result is None else result.scores), known=result is not None)

    def _cancel(self) -> None:
        self.draft = None

    def _accept(self, name: str | None) -> SessionObject:
        draft, here = self.draft, self._here
        if draft is None or draft.frame != here.frame.index:
            raise BadInput("prompt: there is nothing to accept. Mark the object again")
        self._sync()
        if draft.request.object_id is None:
            entry = self.objects.add(name or "")
        elif name is not None:
            entry = self.objects.change(draft.request.object_id, name)
        else:
            entry = self.objects.get(draft.request.object_id)
        mark = mark_of(entry.object_id, draft.mask, draft.request, draft.fresh)
        self.draft = None
        self._follow(here.frame, self.follower.mark(here.frame, mark, here.mask))
        return entry

    def _end(self, object_id: int) -> None:
        self.objects.get(object_id)
        self._pause()
        self._sync()
        here = self._here
        if object_id not in self.follower.ids:
            raise BadInput(f"object {object_id}: is not followed in frame {here.frame.index}. Choose another frame")
        self._follow(here.frame, self.follower.mark(here.frame, end_of(object_id, here.frame), here.mask))

    def _remove(self, object_id: int) -> None:
        self.objects.remove(object_id)
        self.follower.remove(object_id)
        self.history.touch()
        self.draft = None
        here = self._here
        labels = np.where(here.mask.labels == object_id, np.uint8(0), here.mask.labels)
        scores = {at: score for at, score in here.mask.scores.items() if at != object_id}
        self._publish(here.frame, Mask(labels, scores), known=here.known)
