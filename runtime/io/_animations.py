"""Image files with several frames: animated WebP, PNG and TIFF with several pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from ..errors import BadInput
from ..types import Frame
from .image_files import read_image
from .recorded import RecordedSource, past_the_end

PAGE_FPS = 24.0
"""Frame rate of the pages of a TIFF file, which have no times; that of images."""
SHORTEST, USUAL = 11, 100
"""Milliseconds: browsers show frames of a shorter duration than the first for the second."""
LARGEST = 2 << 30
"""Bytes that the decoded frames of an animation may take, because OpenCV decodes all of them at once."""


def frame_count(path: Path) -> int:
    """Count the frames of an image file by its structure, without decoding.

    Returns
    -------
    int
        Frames of an animated PNG or WebP file or pages of a TIFF file; 1 for any other file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return _count_png(file)
            if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
                return _count_webp(file)
    except OSError:
        return 1  # whoever reads the image reports the error
    try:
        return max(1, cv2.imcount(str(path))) if head[:4] in (b"II*\0", b"MM\0*") else 1
    except cv2.error:
        return 1


class AnimationSource(RecordedSource):
    """Frames of an animated WebP file, or pages of a TIFF file.

    Parameters
    ----------
    path : Path
        File whose `frame_count` is above 1.
    start : int
        Number of frames to skip.

    Raises
    ------
    BadInput
        If the frames cannot be decoded.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path, self.name = path, path.stem
        images, seconds = self._decode()
        if start >= len(images):
            raise past_the_end(str(path), start, len(images))
        self._images, self._times = images, np.concatenate([[0.0], np.cumsum(seconds)])
        self.fps, self.count = len(images) / float(self._times[-1]), len(images) - start
        super().__init__(start)

    def _read(self, start: int) -> Iterator[Frame]:
        for index in range(start, len(self._images)):
            image = self._images[index]
            image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)
            yield Frame(image, index, float(self._times[index]), f"{index:05d}")

    def close(self) -> None:
        super().close()
        self._images = []

    def _decode(self) -> tuple[list[np.ndarray], list[float]]:
        """Decode all frames; return them with their durations, seconds."""
        expected = frame_count(self._path)
        if (needed := expected * read_image(self._path).nbytes) > LARGEST:
            raise BadInput(
                f"{self._path}: the animation is too large (got {needed >> 20} MiB of decoded frames, "
                f"expected at most {LARGEST >> 20}). Convert the file to mp4"
            )
        data = np.fromfile(self._path, np.uint8)
        try:
            if self._path.suffix.lower() in (".tif", ".tiff"):
                good, images = cv2.imdecodemulti(data, cv2.IMREAD_COLOR)
                return self._checked(images if good else (), expected), [1 / PAGE_FPS] * expected
            if not hasattr(cv2, "imdecodeanimation"):
                raise BadInput(
                    f"{self._path}: an animation of {expected} frames, which this OpenCV cannot decode "
                    f"(got {cv2.__version__}, expected 4.11 or later). Update opencv-python, or convert the file to mp4"
                )
            good, animation = cv2.imdecodeanimation(data)
        except cv2.error as error:
            raise self._unreadable(expected, 0) from error
        images = self._checked(animation.frames if good else (), expected)
        durations = [int(duration) for duration in animation.durations]
        return images, [(USUAL if duration < SHORTEST else duration) / 1000 for duration in durations]

    def _checked(self, images: object, expected: int) -> list[np.ndarray]:
        found = list(images)  # type: ignore[call-overload]
        if len(found) < expected:
            raise self._unreadable(expected, len(found))
        return found

    def _unreadable(self, expected: int, found: int) -> BadInput:
        return BadInput(
            f"{self._path}: truncated or damaged animation (got {found} readable frames, expected {expected}). "
            "Replace the file, or convert it to mp4"
        )


def _count_png(file: BinaryIO) -> int:
    """Read acTL, the chunk that states the number of frames before the image data."""
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        if head[4:] == b"acTL":
            return max(1, int.from_bytes(file.read(4), "big"))
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)  # data and checksum
    return 1


def _count_webp(file: BinaryIO) -> int:
    """Count the ANMF chunks."""
    file.seek(12)
    count = 0
    while len(head := file.read(8)) == 8:
        count += head[:4] == b"ANMF"
        size = int.from_bytes(head[4:], "little")
        file.seek(size + size % 2, 1)
    return max(1, count)
