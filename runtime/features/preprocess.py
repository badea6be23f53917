"""Preprocessing: scale a frame to the network's input and normalise it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..models.contract import Contract


def to_input(image: np.ndarray, contract: Contract) -> np.ndarray:
    """Scale a frame to the network's input and normalise it.

    The frame is stretched to the input's size; a frame of another aspect ratio is distorted.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    contract : Contract
        Of the model; gives size, means and standard deviations.

    Returns
    -------
    (1, 3, height, width) float32
        ``(pixel - mean) / std``

    Examples
    --------
    >>> contract = Contract("shls-edge", height=32, width=64, dim=8, checkpoint_sha256="")
    >>> to_input(np.zeros((480, 854, 3), np.uint8), contract).shape
    (1, 3, 32, 64)
    """
    size = (contract.width, contract.height)
    if image.shape[1::-1] != size:
        shrinks = image.shape[0] > contract.height
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    planes = np.empty((1, 3, contract.height, contract.width), np.float32)
    normalise(image, contract.mean, contract.std, planes[0])
    return planes


def normalise(image: np.ndarray, mean: Sequence[float], std: Sequence[float], out: np.ndarray) -> None:
    """Write ``(pixel - mean) / std`` of an (H, W, 3) uint8 image to `out`, (3, H, W) float32.

    The planes are computed one by one: arithmetic on interleaved pixels takes seven times as long.

    Examples
    --------
    >>> out = np.empty((3, 1, 1), np.float32)
    >>> normalise(np.full((1, 1, 3), 64, np.uint8), (0, 0, 0), (64, 32, 16), out)
    >>> out.ravel()
    array([1., 2., 4.], dtype=float32)
    """
    for channel, (middle, spread, plane) in enumerate(zip(mean, std, out, strict=True)):
        np.multiply(cv2.extractChannel(image, channel), np.float32(1 / spread), out=plane)
        plane -= np.float32(middle / spread)
