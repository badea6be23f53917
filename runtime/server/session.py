"""Session of `shls serve`: the one thread that reads the source, follows the objects and carries out commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

from ..errors import ShlsError
from ..io.base import Sink
from ..io.objects import NamedMask, ObjectTable
from ..io.synthetic import noise
from ..pipeline import warm_up
from ..prompts.first_frame import Solver
from ..prompts.grab_cut import mask_from_prompt
from ..prompts.prompt import Prompt
from ..prompts.timeline import Entry
from ..segmenter import VideoSegmenter
from .command_thread import CommandThread
from .downloads import Material
from .drafts import MarkRequest
from .follower import Follower
from .marks import FirstMarks
from .objects import ObjectRegistry, SessionObject
from .player import Player
from .readers import Reader
from .values import Draft

IDLE = 0.25
"""Longest time between two looks at the source, seconds."""


class Session(CommandThread):
    """Follow the objects of one source, and do what the controller asks.

    All methods may be called from any thread. Methods that return a Future are carried out between two frames.

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
        Receives each result; the session closes it.
    table : ObjectTable, optional
        Gets the names of the objects.
    solve : callable
        Finds the object of a prompt.
    name : str
        Name of the source, for downloads; without passwords.

    Attributes
    ----------
    player : Player
        State of the session; other threads read its attributes only.
    objects : ObjectRegistry
        Objects of the session.
    listeners : list of callable
        Called after each change, on the session's thread.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import SyntheticSource
    >>> from shls.runtime.segmenter import open_segmenter
    >>> from shls.runtime.server.readers import open_reader
    >>> reader = open_reader(lambda start: SyntheticSource(3, size=(120, 160)))
    >>> with Session(reader, open_segmenter(device="cpu")) as session:
    ...     found = session.mark(MarkRequest(boxes=((60, 40, 40, 40),), name="disc")).result()
    ...     session.step().result()
    ...     session.player.shown.frame.index
    1
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
        name: str = "video",
    ) -> None:
        super().__init__("session")
        self.name, self.segmenter = name, segmenter
        self.objects = ObjectRegistry(table)
        self.listeners: list[Callable[[], None]] = []
        self._reader, self._sink = reader, sink
        self.player = Player(
            reader,
            Follower(segmenter, self.objects, reader.live),
            self.objects,
            FirstMarks(mask, prompts, entries, solve),
            solve,
            loop=loop,
            sink=sink,
            notify=self._notify,
        )
        self._thread.start()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session; may be called twice. Recordings are removed."""
        self.stop()

    def play(self) -> Future[None]:
        """Go on from the frame that is shown; from the first frame if the recording has ended."""
        return self.submit(self.player.play)

    def pause(self) -> Future[None]:
        """Keep the frame that is shown."""
        return self.submit(self.player.pause)

    def step(self) -> Future[None]:
        """Follow the objects into the next frame, and pause."""
        return self.submit(self.player.step)

    def seek(self, frame: int) -> Future[None]:
        """Show a frame of a recording, and pause; BadInput if there is no such frame."""
        return self.submit(lambda: self.player.seek(frame))

    def restart(self) -> Future[None]:
        """Show the first frame of a recording, and pause."""
        return self.seek(self._reader.first)

    def preview(self, request: MarkRequest) -> Future[Draft]:
        """Pause, and find the mask of a prompt without following it."""
        return self.submit(lambda: self.player.preview(request))

    def cancel(self) -> Future[None]:
        """Forget the mask that was not accepted."""

        def cancel() -> None:
            self.player.draft = None

        return self.submit(cancel)

    def accept(self, name: str | None = None) -> Future[SessionObject]:
        """Follow the previewed object from the shown frame on; BadInput if there is no preview."""
        return self.submit(lambda: self.player.accept(name))

    def mark(self, request: MarkRequest) -> Future[SessionObject]:
        """Find the mask of a prompt, and follow the object from the shown frame on."""

        def mark() -> SessionObject:
            self.player.preview(request)
            return self.player.accept(request.name)

        return self.submit(mark)

    def change(
        self, object_id: int, name: str | None = None, color: str | None = None, hidden: bool | None = None
    ) -> Future[SessionObject]:
        """Rename, recolour, hide or show an object; None leaves a property as it is."""
        return self.submit(lambda: self.objects.change(object_id, name, color, hidden))

    def remove(self, object_id: int) -> Future[None]:
        """Remove an object from all frames."""
        return self.submit(lambda: self.player.remove(object_id))

    def end(self, object_id: int) -> Future[None]:
        """Follow an object no longer from the shown frame on; its earlier masks stay."""
        return self.submit(lambda: self.player.end(object_id))

    def record(self, on: bool) -> Future[None]:
        """Start or stop a recording."""
        recorder = self.player.recorder
        return self.submit(recorder.start if on else recorder.stop)

    def material(self) -> Future[Material]:
        """Copy what downloads are made of; BadInput if nothing was followed yet."""

        def copy() -> Material:
            marks = {frame: list(marks) for frame, marks in self.player.follower.marks.items()}
            return Material(self.name, self._reader, self.player.history.all(), self.objects.all(), marks)

        return self.submit(copy)

    def _begin(self) -> None:
        self.player.open()
        warm_up(self.segmenter, noise(self._reader.size))
        self.player.begin()

    def _work(self) -> None:
        if self.player.state == "playing":
            self.player.advance(self._wait_for_commands, IDLE)
        else:
            self.wait(IDLE)

    def _wait_for_commands(self, seconds: float) -> bool:
        self.wait(seconds)
        return self.has_commands()

    def _finish(self) -> None:
        with suppress(ShlsError):
            self.player.recorder.close()
        if self._sink is not None:
            self._sink.close()
        self._reader.close()

    def _notify(self) -> None:
        for listener in list(self.listeners):
            listener()
