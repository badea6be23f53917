"""Cues made one mask, and how far to trust it.

With an embedding, tried on a third of ECSSD and dropped, worst first: spreading by colours, or by both; its distances
mixed with colours' in the least squares, or in place of them in boundary connectivity and in contrast (no gain);
the cue alone, without spreading what was fused (half the gain).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from shls.runtime.backends.base import Session
from shls.runtime.features.preprocess import to_input
from shls.runtime.features.superfeatures import superfeatures
from shls.runtime.types import Superpixels

from .cues import CUES, rank, spreading, to_unit
from .graph import Graph, build_graph, to_lab

LONGEST = 320  # pixels of the longer side, at most, at which cues are computed
SANE = 0.02, 0.7  # share of the image that an object takes


Learned = Callable[[np.ndarray], np.ndarray]
Describe = Callable[[np.ndarray, Superpixels], np.ndarray]


class Saliency(NamedTuple):
    """What stands out in one image.

    mask : (H, W) uint8, 0 background .. 255 object; above 127 is the object
    confidence : 0..1, how far to trust the mask
    """

    mask: np.ndarray
    confidence: float


def find_object(image: np.ndarray, learned: Learned | None = None, describe: Describe | None = None) -> Saliency:
    """Find what stands out in an image.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    learned : one more cue, which counts as much as the others together: from an image to a map of any size in 0..1
    describe : an embedding, from an image and its superpixels to superfeatures, (N, D) of unit length. What is alike
        to it says more than what is alike in colour: a further cue ranks by it, which counts as much as the others
        together, and what was fused spreads by it
    """
    small = shrink(image)
    lab = to_lab(small)
    graph = build_graph(small, lab)
    cues = np.stack([cue(graph, lab) for cue in CUES.values()])  # (4, N)
    opinions = [cues.mean(0)]
    if describe is not None:
        spread = spreading(graph, distances(describe(small, graph.superpixels)))
        opinions.append(rank(graph, spread))
    if learned is not None:
        opinions.append(graph.pool(cv2.resize(learned(small), small.shape[1::-1], interpolation=cv2.INTER_LINEAR)))
    wanted, cues = np.mean(opinions, axis=0), np.vstack([cues, *opinions[1:]])
    fused = centre_threshold(graph, fuse(graph, wanted) if describe is None else soak(spread, wanted))
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


def soak(spread: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What the cues say in the mean, (N,), and what of it flows in from elsewhere, half and half: (N,) in 0..1.

    Parameters
    ----------
    spread : (N, N), see `shls_train.pseudo_labels.cues.spreading`
    """
    wanted = to_unit(wanted)
    return to_unit(wanted + to_unit(spread @ wanted.astype(np.float64)))


def distances(vectors: np.ndarray) -> np.ndarray:
    """(N, N) Euclidean, between unit vectors, (N, D)."""
    return np.sqrt(np.maximum(2 - 2 * vectors @ vectors.T, 0))


def describer(session: Session) -> Describe:
    """An embedding as `find_object` takes it."""

    def describe(image: np.ndarray, superpixels: Superpixels) -> np.ndarray:
        return superfeatures(session.run(to_input(image, session.contract)), superpixels, session.contract.head)

    return describe


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
