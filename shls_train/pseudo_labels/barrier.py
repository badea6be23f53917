"""Minimum barrier distance to the image border (Zhang et al., 2015).

The barrier of a path is its largest minus its smallest value. A pixel is salient if every path to the border has a
large barrier. Three raster sweeps approximate the least barrier of each pixel, as published.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

SWEEPS = 3
STRIP = 0.1  # width of the border strips relative to the image; their colours are background, as published


def barrier_distance(image: np.ndarray) -> np.ndarray:
    """Compute the least barrier between each pixel and the border, summed over channels.

    Parameters
    ----------
    image : (H, W, C) float32
        Image with any number of channels.

    Returns
    -------
    (H, W) float32 array
        Barrier distance in units of the image; zero on the border.

    Examples
    --------
    >>> image = np.zeros((3, 3, 1), np.float32)
    >>> image[1, 1] = 5
    >>> barrier_distance(image)[1].tolist()
    [0.0, 5.0, 0.0]
    """
    total = np.zeros(image.shape[:2], np.float32)
    for channel in range(image.shape[2]):
        total += _barrier(np.ascontiguousarray(image[..., channel]), SWEEPS)
    return total


def unlike_border(lab: np.ndarray) -> np.ndarray:
    """Compute the colour distance of each pixel to the border strips, without the most distant strip.

    The Mahalanobis distances to the four strips are scaled to a maximum of 1 and summed without the largest of them.
    The largest is left out because an object may touch one side of the image.

    Parameters
    ----------
    lab : (H, W, 3) float32
        Lab colours.

    Returns
    -------
    (H, W) float32 array
        Distance, 0 to 3.

    Examples
    --------
    >>> lab = np.zeros((10, 10, 3), np.float32)
    >>> lab[5, 5] = 50
    >>> round(float(unlike_border(lab)[5, 5]), 3)
    3.0
    """
    height, width = lab.shape[:2]
    down, across = max(1, round(STRIP * height)), max(1, round(STRIP * width))
    strips = lab[:down], lab[-down:], lab[:, :across], lab[:, -across:]
    far = np.stack([_mahalanobis(lab, strip.reshape(-1, 3)) for strip in strips])  # (4, H, W)
    return far.sum(0) - far.max(0)


def _mahalanobis(lab: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Mahalanobis distance of each pixel to a sample of colours, scaled to a maximum of 1."""
    mean = sample.mean(0)
    spread = (sample - mean).T @ (sample - mean) / len(sample) + np.eye(
        3, dtype=np.float32
    )  # 1: variance of JPEG noise
    whiten = np.linalg.cholesky(np.linalg.inv(spread)).astype(np.float32)
    far = np.linalg.norm(cv2.transform(lab - mean, np.ascontiguousarray(whiten.T)), axis=2)
    return far / max(float(far.max()), 1e-6)


@numba.njit(cache=True, nogil=True)
def _barrier(image: np.ndarray, sweeps: int) -> np.ndarray:
    """Minimum barrier distance of one channel by raster sweeps, (H, W) float32."""
    height, width = image.shape
    distance = np.full((height, width), np.float32(1e9), np.float32)
    distance[0] = distance[-1] = np.float32(0)
    distance[:, 0] = distance[:, -1] = np.float32(0)
    highest, lowest = image.copy(), image.copy()
    for sweep in range(sweeps):
        step = 1 if sweep % 2 == 0 else -1
        for i in range(1, height - 1):
            y = i if step == 1 else height - 1 - i
            for j in range(1, width - 1):
                x = j if step == 1 else width - 1 - j
                value = image[y, x]
                for ny, nx in ((y - step, x), (y, x - step)):
                    high, low = max(highest[ny, nx], value), min(lowest[ny, nx], value)
                    if high - low < distance[y, x]:
                        distance[y, x] = high - low
                        highest[y, x], lowest[y, x] = high, low
    return distance
