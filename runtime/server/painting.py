"""Pictures for viewers and recordings: JPEG, and objects in the colours of the session."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .objects import SessionObject

OPACITY = 0.45
"""Opacity of the objects' colours, 0 to 1."""
LARGEST = 1280
"""Longest side of the pictures that viewers get, pixels."""
QUALITY = 82
"""Quality of the pictures that viewers get, percent."""


def paint(image: np.ndarray, labels: np.ndarray, objects: Sequence[SessionObject], *, names: bool = True) -> np.ndarray:
    """Colour the objects that are not hidden, with an outline that reads on dark and on bright ground.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, not changed
    labels : (H, W) uint8 object ids
    objects : objects of the session
    names : write the id and the name of each object

    Returns
    -------
    (H, W, 3) uint8 RGB

    Examples
    --------
    >>> image, labels = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8)
    >>> labels[10:30, 10:40] = 1
    >>> paint(image, labels, [SessionObject(1, "", "#ff0000")], names=False)[20, 20].tolist()
    [115, 0, 0]
    """
    table = np.zeros((256, 3), np.uint8)
    shown = np.zeros(256, np.uint8)
    for one in objects:
        if not one.hidden:
            table[one.object_id] = rgb(one.color)
            shown[one.object_id] = one.object_id
    labels = shown[labels]
    if not labels.any():
        return image.copy()
    mixed = cv2.addWeighted(image, 1 - OPACITY, table[labels], OPACITY, 0.0)
    out = np.where(labels[..., None] > 0, mixed, image)
    kernel = np.ones((3, 3), np.uint8)
    edge = (cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)) & (labels > 0)
    halo = (cv2.dilate(edge.astype(np.uint8), kernel) > 0) & ~edge
    out[halo] = out[halo] // 3
    out[edge] = table[labels[edge]] // 2 + 127
    if names:
        for one in objects:
            if shown[one.object_id]:
                _write(out, labels, one)
    return out


def rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue of `#rrggbb`.

    Examples
    --------
    >>> rgb("#ff3d9e")
    (255, 61, 158)
    """
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def fitted(size: tuple[int, int], largest: int = LARGEST) -> tuple[int, int]:
    """Return the size (H, W) of a picture for viewers: at most 1280 pixels long.

    Examples
    --------
    >>> fitted((480, 854)), fitted((2160, 3840))
    ((480, 854), (720, 1280))
    """
    scale = min(1.0, largest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_jpeg(image: np.ndarray, quality: int = QUALITY) -> bytes:
    """Encode (H, W, 3) uint8 RGB as JPEG.

    Examples
    --------
    >>> to_jpeg(np.zeros((8, 8, 3), np.uint8))[:2]
    b'\\xff\\xd8'
    """
    data: bytes = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return data


def _write(picture: np.ndarray, labels: np.ndarray, entry: SessionObject) -> None:
    """Write the id and the name of an object above it, inside the picture."""
    left, top, width, height = cv2.boundingRect((labels == entry.object_id).astype(np.uint8))
    if not width or not height:
        return
    words = f"{entry.object_id} {entry.name}".strip().encode("ascii", "replace").decode()  # the font has no others
    scale = max(0.4, min(picture.shape[:2]) / 900)
    thickness = max(1, round(2 * scale))
    (wide, high), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    place = max(0, min(left, picture.shape[1] - wide)), max(high + 2, top - 5)
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 3 * thickness, cv2.LINE_AA)
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thickness, cv2.LINE_AA)
