"""Cues made one mask, and how far to trust it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from shls_train.saliency import CUES, to_unit
from shls_train.saliency_graph import Graph, build_graph, to_lab

LONGEST = 320  # pixels of the longer side, at most, at which cues are computed
SANE = 0.02, 0.7  # share of the image that an object takes


Learned = Callable[[np.ndarray], np.ndarray]


class Saliency(NamedTuple):
    """What stands out in one image.

    mask : (H, W) uint8, 0 background .. 255 object; above 127 is the object
    confidence : 0..1, how far to trust the mask
    """

    mask: np.ndarray
    confidence: float


def find_object(image: np.ndarray, learned: Learned | None = None) -> Saliency:
    """Find what stands out in an image.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    learned : one more cue, which counts as much as the others together: from an image to a map of any size in 0..1
    """
    small = shrink(image)
    lab = to_lab(small)
    graph = build_graph(small, lab)
    cues = np.stack([cue(graph, lab) for cue in CUES.values()])  # (4, N)
    wanted = cues.mean(0)
    if learned is not None:
        said = graph.pool(cv2.resize(learned(small), small.shape[1::-1], interpolation=cv2.INTER_LINEAR))
        wanted, cues = (wanted + said) / 2, np.vstack([cues, said])
    fused = centre_threshold(graph, fuse(graph, wanted))
    mask = np.rint(255 * graph.paint(fused)).astype(np.uint8)
    return Saliency(
        cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), confidence(graph, cues, fused)
    )


def fuse(graph: Graph, wanted: np.ndarray) -> np.ndarray:
    """What the cues say in the mean, (N,), to a saliency, (N,) in 0..1: pulled to 0 on the background, evened out.

    The least squares of Zhu et al., 2014, equation 9: every superpixel wants 1 as much as the cues say, 0 as much as it
    is probably background, and what its like-coloured neighbours have.
    """
    wanted, unwanted = to_unit(wanted), graph.background
    alike = np.exp(graph.colour_distances**2 / np.float32(-2 * 10.0**2)) + 0.1
    weights = np.where(graph.neighbourhood, alike, 0).astype(np.float64)
    system = np.diag(weights.sum(1) + wanted + unwanted + 1e-6) - weights
    return to_unit(np.linalg.solve(system, wanted.astype(np.float64)))


def centre_threshold(graph: Graph, fused: np.ndarray) -> np.ndarray:
    """Stretch a saliency, (N,) in 0..1: the threshold that parts it best (Otsu, 1979) comes to lie at a half."""
    pixels = np.rint(255 * graph.paint(fused)).astype(np.uint8)
    best = cv2.threshold(pixels, 0, 255, cv2.THRESH_OTSU)[0]
    return np.interp(fused, [0, min(max((best + 0.5) / 255, 0.05), 0.95), 1], [0, 0.5, 1])


def confidence(graph: Graph, cues: np.ndarray, fused: np.ndarray) -> float:
    """How far to trust a fused saliency: cues agree, it is decided, of a sane size, and not cut by the border."""
    inside = fused > 0.5
    area = float(graph.areas[inside].sum())
    if not SANE[0] < area < SANE[1]:
        return 0.0
    decided = np.average(np.abs(2 * fused - 1), weights=graph.areas)
    cut = float(inside[graph.border].mean())
    return float(np.clip(_agreement(cues, graph.areas) * decided * (1 - cut), 0, 1))


def shrink(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) image whose longer side is at most LONGEST."""
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _agreement(cues: np.ndarray, areas: np.ndarray) -> float:
    """Mean correlation between pairs of cues over the image's pixels, not below 0."""
    pixels = np.cov(cues, aweights=areas)
    spread = np.sqrt(np.diag(pixels)) + 1e-6
    pairs = np.triu_indices(len(cues), 1)
    return max(0.0, float((pixels / np.outer(spread, spread))[pairs].mean()))
