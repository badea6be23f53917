"""From the saliency network's small map to a mask that follows the image's edges."""

from __future__ import annotations

import cv2
import numpy as np

from shls_train.saliency_fusion import SANE, Saliency, shrink
from shls_train.saliency_network import SaliencyNet, predict

RADIUS = 8  # pixels of the guided filter's window, about two cells of the map
SMOOTH = 1e-3  # its epsilon: variance of grey, in 0..1, that counts as flat


def refine(network: SaliencyNet, image: np.ndarray) -> Saliency:
    """Find what stands out in an image, (H, W, 3) uint8 RGB, with a trained network."""
    small = shrink(image)
    found = cv2.resize(predict(network, small), small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    guided = follow_edges(found.reshape(small.shape[:2]), small)
    mask = np.rint(255 * guided).astype(np.uint8)
    return Saliency(cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), certainty(guided))


def follow_edges(found: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Guided filter (He et al., 2010): in each window, what is found becomes a linear function of the image's grey.

    Parameters
    ----------
    found : (H, W) float32 in 0..1
    image : (H, W, 3) uint8 RGB

    Returns
    -------
    (H, W) float32 in 0..1
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    mean_grey, mean_found = _window(grey), _window(found)
    slope = (_window(grey * found) - mean_grey * mean_found) / (_window(grey * grey) - mean_grey**2 + SMOOTH)
    return np.clip(_window(slope) * grey + _window(mean_found - slope * mean_grey), 0, 1)


def certainty(found: np.ndarray) -> float:
    """How far to trust (H, W) probabilities: decided, of a sane size, and not cut by the border."""
    inside = found > 0.5
    if not SANE[0] < inside.mean() < SANE[1]:
        return 0.0
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    # The soft intersection over union of the probabilities with their own decision: empty background adds nothing.
    overlap = found[inside].sum() / (found[~inside].sum() + inside.sum())
    return float(overlap * (1 - border.mean()))


def _window(values: np.ndarray) -> np.ndarray:
    return cv2.blur(values, (2 * RADIUS + 1, 2 * RADIUS + 1))
