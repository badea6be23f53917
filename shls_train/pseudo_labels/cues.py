"""Saliency cues: four hand-made measures of how salient each superpixel is, without any training.

The cues use different principles and therefore fail on different images:

contrast  a colour that differs from the rest of the image and is compact (Perazzi et al., 2012; Cheng et al., 2011)
boundary  contrast to superpixels that are connected to the border (Zhu et al., 2014: boundary connectivity)
barrier   a high barrier on every path to the border (Zhang et al., 2015: minimum barrier distance)
ranking   low relevance to the four borders on the graph (Yang et al., 2013: manifold ranking)

A cue takes a `Graph` of N superpixels and the image's Lab colours, (H, W, 3) float32. It returns (N,) float32, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .barrier import barrier_distance, unlike_border
from .graph import Graph

Cue = Callable[[Graph, np.ndarray], np.ndarray]


def contrast(graph: Graph, lab: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Colour contrast to all other superpixels, reduced for colours that are spread over the image.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, lab = example_graph()
    >>> bool(contrast(graph, lab)[graph.labels[24, 32]] > 0.5)
    True
    """
    near = graph.nearness * graph.areas
    unique = (near * graph.colour_distances).sum(1) / near.sum(1)
    similarity = np.exp(graph.colour_distances**2 / np.float32(-2 * 20.0**2)) * graph.areas
    similarity /= similarity.sum(1, keepdims=True)
    spread = (similarity @ graph.centres**2 - (similarity @ graph.centres) ** 2).sum(
        1
    )  # spatial variance of the colour
    return to_unit(to_unit(unique) * np.exp(-6 * to_unit(spread)))


def boundary(graph: Graph, lab: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Colour contrast to probable background, weighted by proximity.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, lab = example_graph()
    >>> bool(boundary(graph, lab)[graph.border].max() < 0.5)
    True
    """
    return to_unit((graph.nearness * graph.colour_distances) @ graph.background)


def barrier(graph: Graph, lab: np.ndarray) -> np.ndarray:
    """Minimum barrier distance to the border plus colour distance to the border.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, lab = example_graph()
    >>> bool(barrier(graph, lab)[graph.labels[24, 32]] > 0.9)
    True
    """
    smooth = cv2.GaussianBlur(lab, (0, 0), 1.0)
    return to_unit(graph.pool(to_unit(barrier_distance(smooth)) + to_unit(unlike_border(smooth))))


def ranking(graph: Graph, lab: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Manifold ranking by colour; see `rank`.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, lab = example_graph()
    >>> bool(ranking(graph, lab)[graph.labels[24, 32]] > 0.5)
    True
    """
    return rank(graph, spreading(graph, graph.colour_distances))


def rank(graph: Graph, spread: np.ndarray) -> np.ndarray:
    """Run the two stages of manifold ranking.

    Stage 1 ranks superpixels by each border and keeps those with low relevance to all borders. Stage 2 ranks
    superpixels by the kept superpixels.

    Parameters
    ----------
    graph : Graph
        Superpixels of an image.
    spread : (N, N) float64
        Ranking matrix of `spreading`.

    Returns
    -------
    (N,) float32 array
        Saliency, 0 to 1.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, _ = example_graph()
    >>> rank(graph, spreading(graph, graph.colour_distances)).shape == graph.areas.shape
    True
    """
    first = np.prod([1 - to_unit(spread @ side) for side in graph.sides.astype(float)], axis=0)
    return to_unit(spread @ (first > first.mean()).astype(float))


def spreading(graph: Graph, distances: np.ndarray) -> np.ndarray:
    """Compute the ranking matrix of manifold ranking (Yang et al., 2013, equation 3).

    Parameters
    ----------
    graph : Graph
        Superpixels of an image.
    distances : (N, N) float
        Distances between superpixels, for example of colours or superfeatures.

    Returns
    -------
    (N, N) float64 array
        Relevance that each superpixel (row) receives from each other superpixel (column); zeros on the diagonal.

    Examples
    --------
    >>> from .graph import example_graph
    >>> graph, _ = example_graph()
    >>> float(np.diag(spreading(graph, graph.colour_distances)).max())
    0.0
    """
    similarity = np.exp(to_unit(distances) / np.float32(-0.1))
    weights = np.where(graph.neighbourhood, similarity, 0).astype(np.float64)
    spread: np.ndarray = np.linalg.inv(np.diag(weights.sum(1) + 1e-6) - 0.99 * weights)
    np.fill_diagonal(spread, 0)
    return spread


CUES: dict[str, Cue] = {"contrast": contrast, "boundary": boundary, "barrier": barrier, "ranking": ranking}


def to_unit(values: np.ndarray) -> np.ndarray:
    """Scale values linearly to the range 0 to 1.

    Parameters
    ----------
    values : array
        Values of any shape.

    Returns
    -------
    float32 array
        Scaled values; zeros if all values are equal.

    Examples
    --------
    >>> to_unit(np.array([2.0, 3.0, 4.0]))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return np.zeros(values.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)
