"""Player of a session: which frame is shown, what is followed, and the mask that waits to be accepted. One thread."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from ..errors import BadInput, ShlsError
from ..io.base import Sink
from ..prompts.first_frame import Solver
from ..types import Frame, Mask
from .drafts import MarkRequest
from .follower import Follower, Mark, end_of, mark_of
from .history import History
from .marks import FirstMarks
from .objects import ObjectRegistry, SessionObject
from .readers import Reader
from .recordings import Recorder
from .values import Draft, Shown, State

RECENT = 30
"""Frames over which the frame rate is measured."""
FIRST_FRAME = 5.0
"""Seconds within which a live source that is open gives its next frame."""
STILL = 2.0
"""Seconds without a frame after which the frame rate counts as 0."""

log = logging.getLogger("shls")


class Player:
    """Show frames, follow objects, and mark them.

    Parameters
    ----------
    reader : Reader
        Source of the frames.
    follower : Follower
        Follows the objects.
    objects : ObjectRegistry
        Objects of the session.
    marks : FirstMarks
        Marks of the command line.
    solve : callable
        Finds the object of a prompt.
    loop : bool
        Begin a recording again at its end.
    sink : Sink or None
        Receives each result.
    notify : callable
        Called after each change.

    Attributes
    ----------
    state : {'starting', 'playing', 'paused', 'ended'}
    problem : str
        What stopped the session, or empty.
    shown : Shown or None
        Picture that the viewers see.
    draft : Draft or None
        Mask that waits to be accepted.
    age : float or None
        Seconds from the capture of the last followed frame to its result; None for recordings.

    Examples
    --------
    >>> player.seek(40)  # doctest: +SKIP
    >>> player.preview(MarkRequest(points=((80.0, 96.0),))).mask.sum()  # doctest: +SKIP
    3214
    """

    def __init__(
        self,
        reader: Reader,
        follower: Follower,
        objects: ObjectRegistry,
        marks: FirstMarks,
        solve: Solver,
        *,
        loop: bool,
        sink: Sink | None,
        notify: Callable[[], None],
    ) -> None:
        self.reader, self.follower, self.objects, self.loop = reader, follower, objects, loop
        self.history, self.recorder = History(reader.live), Recorder(reader.info)
        self.state: State = "starting"
        self.problem = ""
        self.shown: Shown | None = None
        self.draft: Draft | None = None
        self.age: float | None = None
        self._marks, self._solve, self._sink, self._notify = marks, solve, sink, notify
        self._times: deque[float] = deque(maxlen=RECENT)
        self._due = 0.0

    @property
    def fps(self) -> float:
        """Frames per second of the newest frames; 0 while nothing plays."""
        times = list(self._times)
        if len(times) < 2 or time.perf_counter() - times[-1] > STILL:
            return 0.0
        return (len(times) - 1) / max(1e-6, times[-1] - times[0])

    def open(self) -> None:
        """Show the first frame, before anything can be followed."""
        frame = self.reader.newest(FIRST_FRAME) if self.reader.live else self.reader.at(self.reader.first)
        if frame is None:
            raise BadInput("source: gave no frame (expected at least one). Check the source and the start")
        self._publish(frame, _empty(frame), known=False)

    def begin(self) -> None:
        """Apply the marks of the command line to the first frame, or to the newest frame of a live source."""
        frame = (self.reader.newest(0.0) if self.reader.live else None) or self._here()
        self._publish(frame, _empty(frame), known=False)
        marked = self._marks.first(frame, self.objects)
        for mark in marked:
            self._mark(mark)
        self.state = "playing" if marked or self.reader.live else "paused"
        self._notify()

    def advance(self, wait: Callable[[float], bool], patience: float) -> None:
        """Follow the objects into the next frame, once it is due.

        Parameters
        ----------
        wait : waits for some seconds; returns True if commands came
        patience : longest wait for a live frame, seconds
        """
        if self.reader.live:
            frame = self.reader.newest(patience)
            if frame is not None:
                self._follow(frame)
            return
        pause = self._due - time.perf_counter()
        if pause > 0.001 and wait(pause):
            return
        now = time.perf_counter()
        self._due = max(self._due, now - 1 / self.reader.fps) + 1 / self.reader.fps
        self._follow_next()

    def play(self) -> None:
        """Go on from the shown frame; from the first frame if the recording has ended."""
        self._here()
        if self.state == "ended" or (self.reader.count is not None and self._here().index + 1 >= self.reader.count):
            self._show_at(self.reader.first)
        self._times.clear()
        self.draft, self.problem = None, ""
        self.state, self._due = "playing", time.perf_counter()

    def pause(self) -> None:
        """Keep the shown frame."""
        if self.state == "playing":
            self.state = "paused"

    def step(self) -> None:
        """Follow the objects into the next frame, and pause."""
        self._here()
        self.draft, self.problem, self.state = None, "", "paused"
        if not self.reader.live:
            self._follow_next()
            return
        frame = self.reader.newest(1.0)
        if frame is None:
            raise BadInput("source: gives no frame now. Wait until the source is back")
        self._follow(frame)

    def seek(self, index: int) -> None:
        """Show a frame of a recording, and pause."""
        self._here()
        if self.reader.live:
            raise BadInput("seek: the source is live (expected a recording). Pause instead")
        if index < self.reader.first:
            raise BadInput(f"frame {index}: is before the first frame, {self.reader.first}. Choose a later frame")
        self._show_at(index)
        self.draft, self.problem, self.state = None, "", "paused"

    def preview(self, request: MarkRequest) -> Draft:
        """Pause, and find the mask of a prompt."""
        here = self._here()
        if request.object_id is not None:
            self.objects.get(request.object_id)
        self.pause()
        if request.frame is not None and request.frame != here.index:
            here = self._show_at(request.frame)
        labels = self._labels()
        current = None if request.object_id is None else labels == request.object_id
        found = request.solve(here.image, current, self._solve)
        self.draft = Draft(request, here.index, found, current is None or not current.any())
        return self.draft

    def accept(self, name: str | None) -> SessionObject:
        """Follow the object of the preview from the shown frame on."""
        draft, here = self.draft, self._here()
        if draft is None or draft.frame != here.index:
            raise BadInput("prompt: there is nothing to accept. Mark the object again")
        object_id = draft.request.object_id
        self._synchronise()
        entry = self.objects.add(name or "") if object_id is None else self.objects.change(object_id, name)
        self.draft = None
        self._mark(mark_of(entry.object_id, draft.mask, draft.request, draft.fresh))
        return entry

    def end(self, object_id: int) -> None:
        """Follow an object no longer from the shown frame on."""
        here = self._here()
        self.objects.get(object_id)
        self.pause()
        self._synchronise()
        if object_id not in self.follower.ids:
            raise BadInput(f"object {object_id}: is not followed in frame {here.index}. Choose another frame")
        self._mark(end_of(object_id, here))

    def remove(self, object_id: int) -> None:
        """Remove an object from all frames."""
        self.objects.remove(object_id)
        self.follower.remove(object_id)
        self.history.touch()
        self.draft = None
        if self.shown is not None:
            mask = self.shown.mask
            labels = np.where(mask.labels == object_id, np.uint8(0), mask.labels)
            scores = {at: score for at, score in mask.scores.items() if at != object_id}
            self._publish(self.shown.frame, Mask(labels, scores), known=self.shown.known)

    def _follow_next(self) -> None:
        """Follow the objects into the next frame of a recording, or end."""
        frame = None
        try:
            frame = self.reader.at(self._here().index + 1)
        except ShlsError as error:
            self.problem = str(error)
        if frame is not None:
            self._follow(frame)
        elif self.loop and not self.problem and self.state == "playing":
            self._show_at(self.reader.first)
        else:
            self.state = "ended"
            self._notify()

    def _follow(self, frame: Frame) -> None:
        try:
            self._synchronise()
            mask = self.follower.step(frame)
            for mark in self._marks.later(frame, self.objects, self.follower.ids, mask.labels):
                mask = self.follower.mark(frame, mark, mask)
        except ShlsError as error:
            self.problem, self.state = str(error), "paused"
            log.warning("%s", error)
            self._notify()
            return
        self._times.append(time.perf_counter())
        self._keep(frame, mask)

    def _mark(self, mark: Mark) -> None:
        """Apply a mark to the shown frame."""
        assert self.shown is not None
        frame = self.shown.frame
        self._keep(frame, self.follower.mark(frame, mark, self.shown.mask))

    def _keep(self, frame: Frame, mask: Mask) -> None:
        """Keep and show the result of a frame."""
        if self.follower.marks:
            self.history.put(frame, mask, {one.object_id: one.serial for one in self.objects.all()})
        try:
            if self._sink is not None and self.follower.ids:
                self._sink.write(frame, mask)
            self.recorder.write(frame, mask, self.objects.all())
        except ShlsError as error:  # a full disk: the objects are still followed
            self.problem = str(error)
            log.warning("%s", error)
        self.age = self.reader.age(frame)
        self._publish(frame, mask, known=bool(self.follower.ids))

    def _publish(self, frame: Frame, mask: Mask, *, known: bool) -> None:
        number = 1 if self.shown is None else self.shown.number + 1
        self.shown = Shown(number, frame, mask, known)
        self._notify()

    def _here(self) -> Frame:
        if self.shown is None:
            raise BadInput("session: no frame yet. Wait until the source gives one")
        return self.shown.frame

    def _labels(self) -> np.ndarray:
        assert self.shown is not None
        return self.shown.mask.labels

    def _show_at(self, index: int) -> Frame:
        """Show a frame with the mask that is known; BadInput if the frame does not exist or is gone."""
        frame = self.reader.at(index)
        if frame is None:
            raise BadInput(f"frame {index}: there is no such frame. The last frame is {(self.reader.count or 1) - 1}")
        result = self.history.get(index)
        if result is None:
            self._publish(frame, _empty(frame), known=False)
        else:
            objects = {one.object_id: one for one in self.objects.all()}
            scores = {at: score for at, score in result.scores.items() if at in objects}
            self._publish(frame, Mask(result.labels(objects), scores), known=True)
        return frame

    def _synchronise(self) -> None:
        """Put the segmenter at the shown frame."""
        here = self._here()
        if self.follower.at == here.index or not self.follower.marks:
            self.follower.at = here.index
            return
        assert self.shown is not None
        known = self.shown.known
        mask = self.follower.resume(here, self._labels() if known else None, self.reader.at)
        if not known and self.follower.ids:
            self._keep(here, mask)


def _empty(frame: Frame) -> Mask:
    return Mask(np.zeros(frame.image.shape[:2], np.uint8), {})
