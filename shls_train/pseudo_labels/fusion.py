"""Fusion of saliency cues to a pseudo-mask with a confidence."""

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

LONGEST = 320  # longer side in pixels at which cues are computed, at most
SANE = 0.02, 0.7  # plausible range of an object's area relative to the image

Learned = Callable[[np.ndarray], np.ndarray]
Describe = Callable[[np.ndarray, Superpixels], np.ndarray]


class Saliency(NamedTuple):
    """Salient object of one image.

    Attributes
    ----------
    mask : (H, W) uint8 array
        Soft mask, 0 (background) to 255 (object). Values above 127 are object.
    confidence : float
        Confidence of the mask, 0 to 1.

    Examples
    --------
    >>> Saliency(np.zeros((4, 4), np.uint8), 0.0).confidence
    0.0
    """

    mask: np.ndarray
    confidence: float


def find_object(image: np.ndarray, learned: Learned | None = None, describe: Describe | None = None) -> Saliency:
    """Find the salient object of an image.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB image.
    learned : callable, optional
        Additional cue, for example a saliency network. It maps an image to a saliency map of any size, 0 to 1. Its
        weight equals the weight of the four hand-made cues together.
    describe : callable, optional
        Embedding; see `describer`. It maps an image and its superpixels to superfeatures, (N, D), of unit length. A
        further cue ranks superpixels by superfeatures, with the same weight as `learned`. The fused saliency then
        spreads by superfeatures instead of colours.

    Returns
    -------
    Saliency
        Mask of the size of the image, and its confidence.

    Examples
    --------
    >>> image = np.full((48, 64, 3), 40, np.uint8)
    >>> image[12:36, 20:44] = 220, 40, 40
    >>> mask = find_object(image).mask > 127
    >>> bool(mask[24, 32]), bool(mask[2, 2])
    (True, False)
    """
    small = shrink(image)
    lab = to_lab(small)
    graph = build_graph(small, lab)
    cues = np.stack([cue(graph, lab) for cue in CUES.values()])  # (4, N)
    groups = [cues.mean(0)]
    if describe is not None:
        spread = spreading(graph, distances(describe(small, graph.superpixels)))
        groups.append(rank(graph, spread))
    if learned is not None:
        groups.append(graph.pool(cv2.resize(learned(small), small.shape[1::-1], interpolation=cv2.INTER_LINEAR)))
    wanted, cues = np.mean(groups, axis=0), np.vstack([cues, *groups[1:]])
    fused = centre_threshold(graph, fuse(graph, wanted) if describe is None else diffuse(spread, wanted))
    mask = np.rint(255 * graph.paint(fused)).astype(np.uint8)
    return Saliency(
        cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), confidence(graph, cues, fused)
    )


def fuse(graph: Graph, wanted: np.ndarray) -> np.ndarray:
    """Fuse the mean of the cues with the background probability by least squares (Zhu et al., 2014, equation 9).

    The saliency of a superpixel is pulled to 1 by the cues, to 0 by its background probability, and to the saliency of
    neighbours with a similar colour.

    Parameters
    ----------
    graph : Graph
        Superpixels of an image.
    wanted : (N,) float
        Mean of the cues.

    Returns
    -------
    (N,) float32 array
        Saliency, 0 to 1.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, _ = example_graph()
    >>> float(fuse(graph, 1 - graph.background).max())
    1.0
    """
    wanted, background = to_unit(wanted), graph.background
    similarity = np.exp(graph.colour_distances**2 / np.float32(-2 * 10.0**2)) + 0.1
    weights = np.where(graph.neighbourhood, similarity, 0).astype(np.float64)
    system = np.diag(weights.sum(1) + wanted + background + 1e-6) - weights
    return to_unit(np.linalg.solve(system, wanted.astype(np.float64)))


def diffuse(spread: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Average the mean of the cues with the relevance that it spreads to other superpixels.

    Parameters
    ----------
    spread : (N, N) float64
        Ranking matrix; see `shls_train.pseudo_labels.cues.spreading`.
    wanted : (N,) float
        Mean of the cues.

    Returns
    -------
    (N,) float32 array
        Saliency, 0 to 1.

    Examples
    --------
    >>> diffuse(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([0.0, 1.0]))
    array([0., 0.], dtype=float32)
    """
    wanted = to_unit(wanted)
    return to_unit(wanted + to_unit(spread @ wanted.astype(np.float64)))


def distances(vectors: np.ndarray) -> np.ndarray:
    """Euclidean distances between unit vectors.

    Parameters
    ----------
    vectors : (N, D) float
        Unit vectors.

    Returns
    -------
    (N, N) array
        Distances, 0 to 2.

    Examples
    --------
    >>> distances(np.array([[1.0, 0.0], [-1.0, 0.0]])).tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    return np.sqrt(np.maximum(2 - 2 * vectors @ vectors.T, 0))


def describer(session: Session) -> Describe:
    """Turn a session of an embedding model into the `describe` function of `find_object`.

    Parameters
    ----------
    session : Session
        Session of an embedding model.

    Returns
    -------
    callable
        Function from an image and its superpixels to superfeatures, (N, D).

    Examples
    --------
    >>> find_object(image, describe=describer(session))  # doctest: +SKIP
    """

    def describe(image: np.ndarray, superpixels: Superpixels) -> np.ndarray:
        return superfeatures(session.run(to_input(image, session.contract)), superpixels, session.contract.head)

    return describe


def centre_threshold(graph: Graph, fused: np.ndarray) -> np.ndarray:
    """Rescale a saliency so that its best threshold (Otsu, 1979) becomes 0.5.

    Parameters
    ----------
    graph : Graph
        Superpixels of an image.
    fused : (N,) float
        Saliency, 0 to 1.

    Returns
    -------
    (N,) float64 array
        Saliency, 0 to 1; piecewise linear in `fused`.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, _ = example_graph()
    >>> fused = np.where(graph.border, 0.1, 0.3)
    >>> np.unique(centre_threshold(graph, fused) > 0.5).tolist()
    [False, True]
    """
    pixels = np.rint(255 * graph.paint(fused)).astype(np.uint8)
    best = cv2.threshold(pixels, 0, 255, cv2.THRESH_OTSU)[0]
    return np.interp(fused, [0, min(max((best + 0.5) / 255, 0.05), 0.95), 1], [0, 0.5, 1])


def confidence(graph: Graph, cues: np.ndarray, fused: np.ndarray) -> float:
    """Estimate the confidence of a fused saliency.

    The confidence is high if the cues agree, the saliency is close to 0 or 1, and few border superpixels are object.

    Parameters
    ----------
    graph : Graph
        Superpixels of an image.
    cues : (C, N) float
        Saliency of each cue.
    fused : (N,) float
        Fused saliency, 0 to 1.

    Returns
    -------
    float
        Confidence, 0 to 1; 0 if the object's area is outside `SANE`.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, _ = example_graph()
    >>> confidence(graph, np.zeros((4, len(graph.areas))), np.zeros(len(graph.areas)))
    0.0
    """
    inside = fused > 0.5
    area = float(graph.areas[inside].sum())
    if not SANE[0] < area < SANE[1]:
        return 0.0
    decided = np.average(np.abs(2 * fused - 1), weights=graph.areas)
    cut = float(inside[graph.border].mean())
    return float(np.clip(_agreement(cues, graph.areas) * decided * (1 - cut), 0, 1))


def shrink(image: np.ndarray) -> np.ndarray:
    """Shrink an image so that its longer side is at most `LONGEST` pixels.

    Parameters
    ----------
    image : (H, W, 3) uint8
        Image of any size.

    Returns
    -------
    (h, w, 3) uint8 array
        Shrunk image, or `image` itself if it is small enough.

    Examples
    --------
    >>> shrink(np.zeros((480, 640, 3), np.uint8)).shape
    (240, 320, 3)
    """
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _agreement(cues: np.ndarray, areas: np.ndarray) -> float:
    """Mean correlation between pairs of cues over the image's pixels, at least 0."""
    pixels = np.cov(cues, aweights=areas)
    spread = np.sqrt(np.diag(pixels)) + 1e-6
    pairs = np.triu_indices(len(cues), 1)
    return max(0.0, float((pixels / np.outer(spread, spread))[pairs].mean()))
