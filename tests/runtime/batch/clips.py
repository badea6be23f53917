"""Small videos with their masks, and segmenters for workers; a module of its own, because other processes import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np

from shls.runtime.io.base import StreamInfo
from shls.runtime.io.masks import write_mask
from shls.runtime.io.video_sink import VideoSink
from shls.runtime.types import Frame, Mask
from tests.fake_segmenters import Follows

SIZE = 48, 64


def first_mask() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[10:30, 20:40] = 1
    return mask


def write_clip(path: Path, frames: int = 3, shade: int = 40, marked: bool = True) -> Path:
    """Write a video of one shade, and the mask of its first frame beside it."""
    with VideoSink(path, StreamInfo(SIZE, 25.0)) as sink:
        for index in range(frames):
            image = np.full((*SIZE, 3), shade, np.uint8)
            image[10:30, 20:40] = 200
            sink.write(Frame(image, index, index / 25, f"{index:05d}"), Mask(np.zeros(SIZE, np.uint8), {}))
    if marked:
        write_mask(path.with_suffix(".png"), first_mask())
    return path


def write_frames(folder: Path, frames: int = 2) -> Path:
    """Write a folder of images, and the mask beside the folder."""
    folder.mkdir()
    for index in range(frames):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((*SIZE, 3), 50 * index, np.uint8))
    write_mask(folder.with_name(f"{folder.name}.png"), first_mask())
    return folder


class Deadly(Follows):
    """Ends its process by signal 9, as the kernel does when memory runs out.

    It does so in each video that is brighter than 230, and in one that is brighter than 128, which `died` records.
    """

    def __init__(self, died: Path) -> None:
        super().__init__()
        self._died = died

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        shade = int(image[0, 0, 0])
        if shade > 230 or (shade > 128 and not self._died.exists()):
            if shade <= 230:
                self._died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().start(image, mask)


class Slow(Follows):
    """Takes a tenth of a second per frame."""

    def step(self, image: np.ndarray) -> Mask:
        time.sleep(0.1)
        return super().step(image)


def follows() -> Follows:
    return Follows()


def deadly(died: Path) -> Deadly:
    return Deadly(died)


def slow() -> Slow:
    return Slow()
