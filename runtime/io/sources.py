"""Sources by name: `open_source` selects the class for a video, images, a camera or a URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import BadInput
from ..types import Frame
from ._animations import AnimationSource, frame_count
from ._containers import is_recording
from .base import Source
from .capture import FeedError, connect
from .image_files import IMAGE_SUFFIXES, read_image, source_files
from .live import open_live, open_live_stream
from .recorded import RecordedSource, past_the_end
from .uris import WEB, StreamUri, is_live, parse_file, parse_stream, redact, scheme_of
from .video import VideoSource

IMAGE_FPS = 24.0
"""Frame rate of images, which have no clock: that of DAVIS and of the cinema."""


class ImageSource(RecordedSource):
    """Image files, one per frame, in the given order.

    Parameters
    ----------
    name : str
        Name for the outputs.
    paths : list of Path
        Image files. A frame is named after its file; if two files share a name, after its index.
    start : int
        Number of frames to skip.

    Raises
    ------
    BadInput
        If `start` is past the last image. While iterating: if an image cannot be read, is animated, or has another
        size.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> with ImageSource("bunny", [SHIPPED_MODEL.parent / "bunny_mask.png"]) as source:
    ...     next(source).name, source.fps
    ('bunny_mask', 24.0)
    """

    def __init__(self, name: str, paths: list[Path], start: int = 0) -> None:
        if start >= len(paths):
            raise past_the_end(name, start, len(paths))
        self.name, self.fps, self.count = name, IMAGE_FPS, len(paths) - start
        self._paths = paths
        super().__init__(start)

    def reopened(self, index: int, time: float | None = None) -> Source | None:  # noqa: ARG002
        return ImageSource(self.name, self._paths, index) if 0 <= index < len(self._paths) else None

    def _read(self, start: int) -> Iterator[Frame]:
        stems = [path.stem for path in self._paths]
        if len(set(stems)) < len(stems):  # outputs named after the stem would overwrite each other
            stems = [f"{index:05d}" for index in range(len(stems))]
        for index in range(start, len(stems)):
            path = self._paths[index]
            if path.suffix.lower() not in (".tif", ".tiff") and (count := frame_count(path)) > 1:
                raise BadInput(
                    f"{path}: an animation among images (got {count} frames, expected one). "
                    "Give the animation alone as the source, or replace it by its frames"
                )
            yield Frame(read_image(path), index, index / self.fps, stems[index])


def open_source(uri: str | Path, start: int = 0) -> Source:
    """Open a video, images, a camera or a stream for reading frame by frame.

    Parameters
    ----------
    uri : str or Path
        Video file, image, animation, folder of images (natural order: 2 before 10), printf pattern such as
        `frames/image_%05d.jpg`, glob such as `'frames/*.png'`, camera or URL, see `shls.runtime.io.uris`.
    start : int
        Number of frames to skip. Indices and times count from the first frame of the source.

    Returns
    -------
    Source
        Recorded sources give every frame. A source whose attribute `live` is true gives the newest frame.

    Raises
    ------
    BadInput
        If there is nothing of this name, or the content cannot be read. While iterating: if a frame cannot be read
        or has another size, or, after the last readable frame, if a video is truncated.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> with open_source(SHIPPED_MODEL.parent / "bunny.mp4", start=2) as source:
    ...     frame = next(source)
    >>> frame.image.shape, frame.index, round(frame.time, 3)
    ((480, 854, 3), 2, 0.08)
    """
    uri = str(uri)
    if start < 0:
        raise BadInput(f"{redact(uri)}: bad start (got {start}, expected the number of frames to skip, 0 or more)")
    if is_live(uri):
        if start:
            raise _no_frame_yet(uri, start)
        return open_live(uri)
    if scheme_of(uri) in WEB:
        return _open_web(uri, start)
    files = source_files(uri)
    name, stream = parse_file(uri)
    path = Path(name)
    if len(files) == 1 and path.is_file():
        return _open_file(path, start, stream)
    title = path.name if path.is_dir() else path.parent.name
    return ImageSource(title or files[0].resolve().parent.name, files, start)


def _open_file(path: Path, start: int, stream: int) -> Source:
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return VideoSource(path, start, stream)
    if stream >= 0:
        raise BadInput(f"{path}: an image has no video streams (got #stream={stream}). Remove #stream={stream}")
    if frame_count(path) > 1:
        return VideoSource(path, start) if path.suffix.lower() == ".png" else AnimationSource(path, start)
    return ImageSource(path.stem, [path], start)


def _open_web(uri: str, start: int) -> Source:
    """Open a recording or a live stream, as the answer of the server decides."""
    address = parse_stream(uri)
    try:
        container = connect(address)
    except FeedError as error:
        raise BadInput(f"{redact(uri)}: {error}") from None
    if is_recording(container):
        container.close()
        if address._replace(stream=-1) != StreamUri(address.address):
            raise BadInput(
                f"{redact(uri)}: a recording takes no options of live streams (expected at most #stream=N). "
                "Remove the other options"
            )
        return VideoSource(address, start)
    if start:
        container.close()
        raise _no_frame_yet(uri, start)
    return open_live_stream(uri, container)


def _no_frame_yet(uri: str, start: int) -> BadInput:
    return BadInput(f"{redact(uri)}: is live and has no frame {start} yet (expected start 0). Leave the start out")
