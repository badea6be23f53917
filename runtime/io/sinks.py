"""Where results go: an overlay video, a PNG per frame, JSON lines, nothing, and any of them together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..errors import BadInput, MissingDependency
from ..types import Frame, Mask
from .base import Sink
from .image_files import source_files
from .masks import encode_rle, overlay, write_mask


class NullSink(Sink):
    """Takes everything, keeps nothing: for measuring."""

    def write(self, frame: Frame, mask: Mask) -> None:
        pass


class VideoSink(Sink):
    """The frames with their objects coloured, as H.264 in fragmented mp4, which browsers play.

    The file is written in place and is a playable video at every moment: each half second is a fragment of
    its own, and the encoder holds no frames back. If the process is killed, or the disk fills, up to a second
    is lost.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() != ".mp4":
            raise BadInput(f"{path}: the overlay video is written as mp4; expected a name that ends in .mp4")
        _check_file(path)
        self._path = path
        self._fps = Fraction(fps).limit_denominator(1001)  # 30000/1001 and its like stay exact
        self._container: Any = None  # opened with the first frame, which tells the size
        self._stream: Any = None
        self._count = self._whole = 0  # frames written; bytes up to the last complete fragment
        self._begin, self._next = 0.0, 0  # the first frame's time; the first tick that is free

    def write(self, frame: Frame, mask: Mask) -> None:
        height, width = mask.labels.shape
        image = overlay(frame.image, mask.labels)
        if height % 2 or width % 2:  # the format halves the colours' resolution: sides must be even
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._container is None:
            self._open(image.shape[0], image.shape[1])
            self._begin = frame.time
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        # a camera's frames come when they come: the video shows each at its time
        picture.pts = max(self._next, round((frame.time - self._begin) * self._fps))
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            self._give_up()
            raise _unwritten(self._path, error, f"its first {self._count} frames, less up to a second, play") from error
        self._count, self._next = self._count + 1, picture.pts + 1
        self._whole = self._path.stat().st_size

    def close(self) -> None:
        if self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None
        except (av.FFmpegError, OSError) as error:
            self._give_up()
            raise _unwritten(self._path, error, "all but its last second plays") from error

    def _open(self, height: int, width: int) -> None:
        options = {
            "movflags": "frag_keyframe+empty_moov+default_base_moof",
            "frag_duration": "500000",  # microseconds
            "flush_packets": "1",
        }
        self._container = av.open(str(self._path), "w", format="mp4", options=options)
        try:
            self._stream = self._container.add_stream("libx264", rate=self._fps)
        except (av.FFmpegError, ValueError) as error:
            raise MissingDependency(
                "this PyAV has no H.264 encoder (libx264); install PyAV's own wheel with `pip install av`, "
                "or write masks instead of a video"
            ) from error
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        self._stream.codec_context.gop_size = max(1, round(self._fps))
        self._stream.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "20"}

    def _give_up(self) -> None:
        """Close without a word, and cut the fragment that is incomplete."""
        container, self._container = self._container, None
        with suppress(av.FFmpegError, OSError):
            container.close()
        with suppress(OSError):
            os.truncate(self._path, self._whole)


class MaskFolderSink(Sink):
    """One palette PNG per frame, object ids as indices, named as the frame is; each is written whole."""

    def __init__(self, folder: Path) -> None:
        _make_folder(folder)
        self._folder = folder

    def write(self, frame: Frame, mask: Mask) -> None:
        write_mask(self._folder / f"{frame.name}.png", mask.labels)


class JsonLinesSink(Sink):
    """One JSON object a line and frame, on the disk before the next frame comes.

    `{"frame": index, "time": seconds, "objects": [{"id", "area": pixels, "box": [x, y, width, height],
    "confidence": 0..1, "rle": COCO's}]}`. An object without pixels has area 0, box null and `"lost": true`.
    """

    def __init__(self, path: Path) -> None:
        _check_file(path)
        self._path = path
        self._file: FileIO | None = None  # opened with the first frame

    def write(self, frame: Frame, mask: Mask) -> None:
        data = json.dumps(line_of(frame, mask), separators=(",", ":")).encode() + b"\n"
        if self._file is None:
            self._file = self._path.open("wb", buffering=0)
        whole = self._file.tell()
        try:
            if self._file.write(data) < len(data):
                raise OSError(0, "no space left")
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(whole)  # half a line would make the file unreadable
            raise _unwritten(self._path, error, "the lines before are complete") from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class SinkGroup(Sink):
    """Several sinks as one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def write(self, frame: Frame, mask: Mask) -> None:
        for sink in self._sinks:
            sink.write(frame, mask)

    def close(self) -> None:
        with ExitStack() as stack:  # one that fails does not keep the others open
            for sink in self._sinks:
                stack.callback(sink.close)


def open_sinks(
    source_uri: str,
    out: Path | None = None,
    masks: Path | None = None,
    json: Path | None = None,
    fps: float = 24.0,
    protect: Iterable[Path] = (),
) -> Sink:
    """Open any of the sinks for a source, once it is sure that no input is overwritten.

    Parameters
    ----------
    source_uri : what the frames are read from, as `open_source` takes it
    out : overlay video, a name that ends in .mp4
    masks : folder for one PNG per frame
    json : file of JSON lines; it and the video replace earlier ones when the first frame comes
    fps : frames a second of the video
    protect : other files and folders that were read, such as the first mask

    Raises
    ------
    BadInput
        If an output would overwrite an input or another output, or cannot be written.
    """
    inputs = [*source_files(source_uri)]
    for path in protect:
        inputs += path.iterdir() if path.is_dir() else [path]
    _refuse_overwriting(inputs, [path for path in (out, json) if path], masks)
    with ExitStack() as opened:
        sinks: list[Sink] = []
        if out:
            sinks.append(opened.enter_context(VideoSink(out, fps)))
        if masks:
            sinks.append(opened.enter_context(MaskFolderSink(masks)))
        if json:
            sinks.append(opened.enter_context(JsonLinesSink(json)))
        opened.pop_all()
    return SinkGroup(sinks) if sinks else NullSink()


def line_of(frame: Frame, mask: Mask) -> dict[str, Any]:
    """One result as JSON values, see `JsonLinesSink`."""
    return {"frame": frame.index, "time": round(frame.time, 6), "objects": describe(mask)}


def describe(mask: Mask) -> list[dict[str, Any]]:
    """List the objects of a mask as JSON values, by id; objects with a score and no pixels are lost."""
    areas = np.bincount(mask.labels.ravel(), minlength=256)
    ids = sorted({*mask.scores, *np.flatnonzero(areas[1:] > 0) + 1})
    return [_describe_object(mask, int(object_id), int(areas[object_id])) for object_id in ids]


def _describe_object(mask: Mask, object_id: int, area: int) -> dict[str, Any]:
    inside = mask.labels == object_id
    values: dict[str, Any] = {
        "id": object_id,
        "area": area,
        "box": None,
        "confidence": round(float(mask.scores.get(object_id, 0.0)), 4),
        "rle": encode_rle(inside),
    }
    if area == 0:
        return values | {"lost": True}
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    x, y = int(columns[0]), int(rows[0])
    return values | {"box": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]}


def _refuse_overwriting(inputs: list[Path], files: list[Path], masks: Path | None) -> None:
    """Compare files themselves, not names: links and relative paths name the same file in many ways."""
    known = {(status.st_dev, status.st_ino) for status in (path.stat() for path in inputs if path.exists())}
    for file in files:
        if file.exists() and (file.stat().st_dev, file.stat().st_ino) in known:
            raise BadInput(f"{file}: is an input, and would be overwritten; expected another name for the output")
    if len({file.resolve() for file in files}) < len(files):
        raise BadInput(f"{files[0]}: named for two outputs; expected a name for each")
    if masks is None or not masks.is_dir():
        return
    # Every PNG in the folder may get a new frame's mask as its content, so no input may be among them.
    for file in masks.glob("*.png"):
        if (file.stat().st_dev, file.stat().st_ino) in known:
            raise BadInput(f"{masks}: holds the input {file.name}, which a mask would overwrite; choose another folder")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(folder, error, "expected a folder, or a name for a new one") from error


def _check_file(path: Path) -> None:
    """Raise BadInput, before the work, if a file cannot be written; an earlier result stays until there is a frame."""
    _make_folder(path.parent)
    known = path.exists()
    try:
        path.open("ab").close()
        if not known:
            path.unlink()
    except OSError as error:
        raise _unwritten(path, error, "expected the name of a file that may be written") from error


def _unwritten(path: Path, error: OSError | av.FFmpegError, rest: str) -> BadInput:
    return BadInput(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}); {rest}")
