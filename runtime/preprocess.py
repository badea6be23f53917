"""A frame as the network wants it."""

from __future__ import annotations

import cv2
import numpy as np

from shls.runtime.contract import Contract


def to_input(image: np.ndarray, contract: Contract) -> np.ndarray:
    """Scale a frame to the network's input and normalise it.

    The frame is stretched to the input's size, so a frame of another aspect is squeezed.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    contract : of the model

    Returns
    -------
    (1, 3, height, width) float32, ``(pixel - mean) / std``
    """
    size = (contract.width, contract.height)
    if image.shape[1::-1] != size:
        shrinks = image.shape[0] > contract.height
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    scale = 1 / np.asarray(contract.std, np.float32)
    shift = -np.asarray(contract.mean, np.float32) * scale
    planes = np.empty((1, 3, contract.height, contract.width), np.float32)
    for channel, out in enumerate(planes[0]):
        np.multiply(cv2.extractChannel(image, channel), scale[channel], out=out)
        out += shift[channel]
    return planes
