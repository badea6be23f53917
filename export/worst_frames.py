"""Pictures of the frames in which two models differ most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from shls.runtime._support.files import write_whole
from shls.runtime.io.masks import overlay

from .verdict import Verdict


def draw_worst(
    verdict: Verdict, images: Sequence[np.ndarray], labels: list[list[np.ndarray]], folder: Path | None
) -> None:
    """Write one PNG for each of the three worst frames: both overlays, and the pixels that differ.

    Parameters
    ----------
    verdict
        Differences of all frames.
    images
        Frames, each (H, W, 3) uint8 RGB.
    labels
        Per frame, the masks of both models, each (H, W) uint8 object ids.
    folder
        Folder of the pictures; None writes nothing.

    Examples
    --------
    >>> draw_worst(verdict, images, labels, Path("pictures"))  # doctest: +SKIP
    """
    if folder is None:
        return
    for frame in verdict.worst(3):
        image, masks = images[frame.number], labels[frame.number]
        apart = (masks[0] != masks[1]).astype(np.uint8)
        row = np.hstack([*(overlay(image, mask) for mask in masks), overlay(image, apart)])
        _, encoded = cv2.imencode(".png", row[:, :, ::-1])
        write_whole(picture_path(folder, frame.number), encoded.tobytes())


def picture_path(folder: Path, number: int) -> Path:
    """Return the path of the picture of a frame.

    Examples
    --------
    >>> picture_path(Path("pictures"), 7).name
    '00007.png'
    """
    return folder / f"{number:05d}.png"
