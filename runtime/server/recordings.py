"""Recordings of a session: overlay videos in a folder of the server's own, known to clients by number."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput, ShlsError
from ..io.base import StreamInfo
from ..io.video_sink import VideoSink
from ..types import Frame, Mask
from .objects import SessionObject
from .painting import paint

MOST = 50
"""Largest number of recordings of a session."""


@dataclass(frozen=True)
class Recording:
    """Recording of a session.

    Attributes
    ----------
    number : int
        Number of the recording, from 1.
    path : Path
        Video file.
    frames : int
        Frames so far.
    begun : float
        Start, seconds since the epoch.
    running : bool
        Whether frames are still added.

    Examples
    --------
    >>> Recording(1, Path("1.mp4"), 7, 0.0, running=False).as_json()
    {'id': 1, 'frames': 7, 'begun': 0.0, 'running': False}
    """

    number: int
    path: Path
    frames: int
    begun: float
    running: bool

    def as_json(self) -> dict[str, Any]:
        """Return the recording as JSON values, without its path."""
        return {"id": self.number, "frames": self.frames, "begun": round(self.begun, 3), "running": self.running}


class Recorder:
    """Write the followed frames as overlay videos while a recording runs.

    Parameters
    ----------
    info : StreamInfo
        Properties of the source.

    Examples
    --------
    >>> recorder = Recorder(StreamInfo((16, 16), 25.0))
    >>> recorder.start()
    >>> recorder.write(Frame(np.zeros((16, 16, 3), np.uint8), 0, 0.0, ""), Mask(np.zeros((16, 16), np.uint8), {}), [])
    >>> recorder.stop()
    >>> [recording.frames for recording in recorder.all()]
    [1]
    >>> recorder.close()
    """

    def __init__(self, info: StreamInfo) -> None:
        self._info = replace(info, address=None, stream=None)
        self._folder = tempfile.TemporaryDirectory(prefix="shls-recordings-")
        self._recordings: list[Recording] = []
        self._sink: VideoSink | None = None
        self._last, self._shift = -1.0, 0.0

    @property
    def running(self) -> Recording | None:
        """Recording that runs now, or None."""
        last = self._recordings[-1] if self._recordings else None
        return last if last is not None and last.running else None

    def all(self) -> list[Recording]:
        """Return the recordings, the oldest first."""
        return list(self._recordings)

    def get(self, number: int) -> Recording:
        """Return a recording; raise BadInput if there is none of this number."""
        for recording in self._recordings:
            if recording.number == number:
                return recording
        raise BadInput(f"recording {number}: there is no such recording (expected 1 to {len(self._recordings)})")

    def start(self) -> None:
        """Start a recording; raise BadInput if one runs, or if there are too many."""
        if self.running:
            raise BadInput("recording: is running already. Stop the recording first")
        if len(self._recordings) >= MOST:
            raise BadInput(f"recording: too many (got {MOST}). Restart the server to remove them")
        number = len(self._recordings) + 1
        path = Path(self._folder.name, f"{number}.mp4")
        self._sink, self._last, self._shift = VideoSink(path, self._info), -1.0, 0.0
        self._recordings.append(Recording(number, path, 0, time.time(), True))

    def write(self, frame: Frame, mask: Mask, objects: Sequence[SessionObject]) -> None:
        """Add a frame to the recording that runs, if one runs. A full disk ends the recording with BadInput."""
        running = self.running
        if self._sink is None or running is None:
            return
        if frame.time + self._shift <= self._last:  # the person went back
            self._shift = self._last + 1 / max(self._info.fps, 0.1) - frame.time
        if self._last < 0:
            self._shift = -frame.time
        self._last = frame.time + self._shift
        picture = paint(frame.image, mask.labels, objects)
        nothing = Mask(np.zeros_like(mask.labels), {})
        try:
            self._sink.write(frame._replace(image=picture, time=self._last), nothing)
        except ShlsError:
            self.stop()
            raise
        self._recordings[-1] = replace(running, frames=running.frames + 1)

    def stop(self) -> None:
        """Complete the recording that runs; raise BadInput if none runs."""
        running = self.running
        if self._sink is None or running is None:
            raise BadInput("recording: none is running. Start a recording first")
        sink, self._sink = self._sink, None
        self._recordings[-1] = replace(running, running=False)
        sink.close()

    def close(self) -> None:
        """Complete the recording that runs, and remove all recordings."""
        if self.running:
            self.stop()
        self._folder.cleanup()
