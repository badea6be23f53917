"""Results as one image file per frame: palette masks, overlays and cut-outs."""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from .._support.files import replace_file
from ..types import Frame, Mask
from ._output_files import make_folder
from .base import Sink
from .masks import overlay, write_mask

JPEG_QUALITY = 95
"""Quality of overlay images, percent."""
PNG_LEVEL = 1
"""Compression of cut-outs, 0 to 9: the fastest level that compresses."""
NAMES_SHOWN = 3
"""Names of left-over files in a warning."""

log = logging.getLogger("shls")


class FolderSink(Sink):
    """Write one file per frame, named after the frame. Each file is written whole or not at all.

    Files of an earlier run stay in the folder. `close` warns if some of them were not replaced.

    Parameters
    ----------
    folder : Path
        Folder to write to; it is made if it is missing.

    Raises
    ------
    BadInput
        If the folder or a file cannot be written.
    """

    suffix: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder = folder
        self._left_over = {name for name in os.listdir(folder) if name.endswith(self.suffix) and name[0] != "."}
        self._count = 0

    def write(self, frame: Frame, mask: Mask) -> None:
        name = f"{frame.name}{self.suffix}"
        self._write(self._folder / name, frame, mask)
        self._left_over.discard(name)
        self._count += 1

    def close(self) -> None:
        if self._left_over and self._count:
            names = sorted(self._left_over)
            more = ", ..." if len(names) > NAMES_SHOWN else ""
            log.warning(
                "%s: %d earlier %s files are not of this run (%s%s). Delete the files if nobody needs them.",
                self._folder,
                len(names),
                self.suffix,
                ", ".join(names[:NAMES_SHOWN]),
                more,
            )
        self._left_over = set()

    @abstractmethod
    def _write(self, path: Path, frame: Frame, mask: Mask) -> None:
        """Write one file."""


class MaskFolderSink(FolderSink):
    """Write one palette PNG per frame; the palette indices are object ids.

    Examples
    --------
    >>> import tempfile
    >>> frame, mask = Frame(np.zeros((2, 3, 3), np.uint8), 0, 0.0, "00000"), Mask(np.ones((2, 3), np.uint8), {1: 0.9})
    >>> with tempfile.TemporaryDirectory() as folder, MaskFolderSink(Path(folder)) as sink:
    ...     sink.write(frame, mask)
    ...     os.listdir(folder)
    ['00000.png']
    """

    suffix = ".png"

    def _write(self, path: Path, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
        write_mask(path, mask.labels)


class OverlayFolderSink(FolderSink):
    """Write one JPEG per frame: the frame with its objects coloured.

    Examples
    --------
    >>> import tempfile
    >>> frame, mask = Frame(np.zeros((2, 3, 3), np.uint8), 0, 0.0, "00000"), Mask(np.ones((2, 3), np.uint8), {1: 0.9})
    >>> with tempfile.TemporaryDirectory() as folder, OverlayFolderSink(Path(folder)) as sink:
    ...     sink.write(frame, mask)
    ...     os.listdir(folder)
    ['00000.jpg']
    """

    suffix = ".jpg"

    def _write(self, path: Path, frame: Frame, mask: Mask) -> None:
        flags = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # borders are a pixel wide
        image = overlay(frame.image, mask.labels)[..., ::-1]
        replace_file(path, cv2.imencode(".jpg", image, flags)[1].tobytes(), "Images before it are complete.")


class CutoutFolderSink(FolderSink):
    """Write one RGBA PNG per frame: the pixels of all objects, on a transparent background.

    Examples
    --------
    >>> import tempfile
    >>> frame = Frame(np.full((1, 2, 3), 200, np.uint8), 0, 0.0, "00000")
    >>> with tempfile.TemporaryDirectory() as folder, CutoutFolderSink(Path(folder)) as sink:
    ...     sink.write(frame, Mask(np.array([[0, 1]], np.uint8), {1: 0.9}))
    ...     cv2.imread(f"{folder}/00000.png", cv2.IMREAD_UNCHANGED).tolist()
    [[[0, 0, 0, 0], [200, 200, 200, 255]]]
    """

    suffix = ".png"

    def _write(self, path: Path, frame: Frame, mask: Mask) -> None:
        inside = mask.labels > 0
        pixels = np.zeros((*inside.shape, 4), np.uint8)
        pixels[inside, :3] = frame.image[inside][:, ::-1]
        pixels[inside, 3] = 255
        data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1].tobytes()
        replace_file(path, data, "Cut-outs before it are complete.")
