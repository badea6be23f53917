"""Where frames come from: a video file, a folder of images, a printf pattern, a glob; cameras are in `live`.

One class per kind of source, and one function, `open_source`, that picks.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..errors import BadInput
from ..types import Frame
from .base import Source, StreamInfo
from .image_files import IMAGE_SUFFIXES, read_image, source_files
from .uris import is_live, redact

IMAGE_FPS = 24.0  # images carry no clock: the rate at which DAVIS and the cinema show them


class RecordedSource(Source):
    """Every frame of something that lies on the disk."""

    def __init__(self, start: int) -> None:
        # The first frame is read at once: its size is asked for before the loop, and what is bad fails early.
        self._frames = self._read(start)
        self._first: Frame | None = next(self._frames)
        self._stopped = False
        self.size = self._first.image.shape[0], self._first.image.shape[1]

    @abstractmethod
    def _read(self, start: int) -> Iterator[Frame]:
        """Yield the frames from `start` on, at least one; closing the iterator frees what it holds."""

    def __next__(self) -> Frame:
        if self._stopped:
            raise StopIteration
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        frame = next(self._frames)
        height, width = frame.image.shape[:2]
        if (height, width) != self.size:
            raise BadInput(
                f"{self.name}: frame {frame.index} ({frame.name}) is {width}x{height}, those before it are "
                f"{self.size[1]}x{self.size[0]}; all must have one size: scale them, or split the video there"
            )
        return frame

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        self._first = None
        self._frames.close()  # type: ignore[attr-defined]  # a generator


class ImageSource(RecordedSource):
    """Image files, one per frame, read in the order given."""

    def __init__(self, name: str, paths: list[Path], start: int) -> None:
        if start >= len(paths):
            raise _past_the_end(name, start, len(paths))
        self.name, self.fps, self.count = name, IMAGE_FPS, len(paths) - start
        self._paths = paths
        super().__init__(start)

    def _read(self, start: int) -> Iterator[Frame]:
        stems = [path.stem for path in self._paths]
        if len(set(stems)) < len(stems):  # a.jpg and a.png: outputs named after the stem would overwrite each other
            stems = [f"{index:05d}" for index in range(len(stems))]
        for index in range(start, len(stems)):
            yield Frame(read_image(self._paths[index]), index, index / self.fps, stems[index])


class VideoSource(RecordedSource):
    """A video file, decoded in full and turned the way its metadata asks, as phones write them."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        try:
            self._container: Any = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise BadInput(
                f"{path}: cannot be read as a video ({getattr(error, 'strerror', error)}); "
                "expected a video file that FFmpeg reads, such as .mp4, .mkv, .avi, complete to its end"
            ) from error
        # FFmpeg also "plays" text files as terminal art.
        if not self._container.streams.video or self._container.format.name == "tty":
            self._container.close()
            raise BadInput(f"{path}: has no video in it; expected a complete video file, or a folder of images")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.name = path.stem
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or IMAGE_FPS)
        total = self._stream.frames or round((self._container.duration or 0) / av.time_base * self.fps)
        self.count = max(1, total - start) if total else None
        self._begin = 0.0
        super().__init__(start)

    @property
    def info(self) -> StreamInfo:
        return StreamInfo(
            self.size,
            self.fps,
            self._stream.time_base,
            address=f"file:{self._path}",
            stream=self._stream.index,
            begin=self._begin,
        )

    def _read(self, start: int) -> Iterator[Frame]:
        index, origin = -1, None
        for index, picture in enumerate(self._pictures()):
            seconds = index / self.fps if picture.time is None else picture.time
            if origin is None:
                origin = self._begin = seconds
            if index >= start:
                yield Frame(_upright(picture), index, seconds - origin, f"{index:05d}")
        if index < start:
            raise _past_the_end(str(self._path), start, index + 1)

    def _pictures(self) -> Iterator[Any]:
        """Decode all that can be decoded; then raise BadInput if that was not all there should be."""
        damaged, count = _is_cut(self._path), 0
        with self._container:
            try:
                for packet in self._container.demux(self._stream):
                    try:
                        for picture in packet.decode():
                            yield picture
                            count += 1
                    except av.FFmpegError:
                        damaged |= count > 0  # before the first frame it is a broadcast cut in mid-stream
                    damaged |= packet.is_corrupt
            except av.FFmpegError:
                damaged = True
        if count == 0:
            raise BadInput(f"{self._path}: no frame of it can be decoded; is the file complete and of a known codec?")
        if damaged:
            raise BadInput(
                f"{self._path}: truncated or damaged, {count} frames could be read; "
                "what was made of them is kept. Copy or record the file again for the rest"
            )


def open_source(uri: str, start: int = 0) -> Source:
    """Open a video, images, a camera or a stream for reading frame by frame.

    Parameters
    ----------
    uri : a video file, an image, a folder of images (natural order: 2 before 10), a printf pattern such as
        `frames/image_%05d.jpg`, or a glob such as `'frames/*.png'`; or what `shls.runtime.io.uris` lists as live
    start : number of frames to skip; indices and times still count from the source's first frame

    Raises
    ------
    BadInput
        If there is nothing there, or what is there cannot be read. While iterating: if a frame cannot be read
        or has another size, or, after the last frame that could be read, if a video is truncated.
    """
    if start < 0:
        raise BadInput(f"start is {start}; expected the number of frames to skip, 0 or more")
    if is_live(uri):
        from .live import open_live  # a source itself

        if start:
            raise BadInput(f"{redact(uri)}: is live and has no frame {start} yet; leave start out")
        return open_live(uri)
    files = source_files(uri)
    if len(files) == 1 and files[0].suffix.lower() not in IMAGE_SUFFIXES:
        return VideoSource(files[0], start)
    path = Path(uri)
    name = path.name if path.is_dir() else path.stem if path.is_file() else path.parent.name
    return ImageSource(name or files[0].resolve().parent.name, files, start)


def _upright(picture: Any) -> np.ndarray:
    image: np.ndarray = picture.to_ndarray(format="rgb24")
    turns = round(picture.rotation / 90) % 4  # degrees, counter-clockwise, by which to turn for showing
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _is_cut(path: Path) -> bool:
    """Tell whether an .avi, .mkv or .webm is shorter than its header says: FFmpeg may just stop there."""
    with path.open("rb") as file:
        head = file.read(4096)
    segment = head.find(b"\x18\x53\x80\x67") + 4  # Matroska's element that holds everything; its length follows
    if head.startswith(b"RIFF"):
        length, start, unknown = int.from_bytes(head[4:8], "little"), 8, 0xFFFFFFFF
    elif head.startswith(b"\x1a\x45\xdf\xa3") and 4 < segment < len(head):
        start = segment + max(1, 9 - head[segment].bit_length())  # leading zeros say how many bytes
        unknown = (1 << 7 * (start - segment)) - 1  # all ones: a recording that was never closed
        length = int.from_bytes(head[segment:start], "big") & unknown
    else:
        return False
    return length != unknown and start + length > path.stat().st_size


def _past_the_end(name: str, start: int, count: int) -> BadInput:
    return BadInput(f"{name}: has {count} frames, start is {start}; expected a start of at most {count - 1}")
