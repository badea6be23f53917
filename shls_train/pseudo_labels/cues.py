"""Which superpixels stand out: four cues of different nature, none of which was taught anything.

Each cue sees the image its own way, so that they fail on different images:

contrast  colour unlike the rest of the image, in one place (Perazzi et al., 2012; Cheng et al., 2011)
boundary  contrast to what lies along the border (Zhu et al., 2014: boundary connectivity)
barrier   no even path leads to the border (Zhang et al., 2015: minimum barrier distance)
ranking   unlike the four borders when they spread over the graph (Yang et al., 2013: manifold ranking)
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .barrier import barrier_distance, unlike_border
from .graph import Graph

Cue = Callable[[Graph, np.ndarray], np.ndarray]


def contrast(graph: Graph, lab: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Colour contrast to all other superpixels, less where the same colour lies all over the image."""
    near = graph.nearness * graph.areas
    unique = (near * graph.colour_distances).sum(1) / near.sum(1)
    alike = np.exp(graph.colour_distances**2 / np.float32(-2 * 20.0**2)) * graph.areas
    alike /= alike.sum(1, keepdims=True)
    spread = (alike @ graph.centres**2 - (alike @ graph.centres) ** 2).sum(1)  # variance of where that colour lies
    return to_unit(to_unit(unique) * np.exp(-6 * to_unit(spread)))


def boundary(graph: Graph, lab: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Contrast to what is probably background, weighted by nearness."""
    return to_unit((graph.nearness * graph.colour_distances) @ graph.background)


def barrier(graph: Graph, lab: np.ndarray) -> np.ndarray:
    """Barrier to the border, and colours unlike the border's."""
    smooth = cv2.GaussianBlur(lab, (0, 0), 1.0)
    return to_unit(graph.pool(to_unit(barrier_distance(smooth)) + to_unit(unlike_border(smooth))))


def ranking(graph: Graph, lab: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """Rank by each border in turn, take what is unlike all of them, then rank by that."""
    return rank(graph, spreading(graph, graph.colour_distances))


def rank(graph: Graph, spread: np.ndarray) -> np.ndarray:
    """Manifold ranking's two stages on an (N, N) `spreading`."""
    first = np.prod([1 - to_unit(spread @ side) for side in graph.sides.astype(float)], axis=0)
    return to_unit(spread @ (first > first.mean()).astype(float))


def spreading(graph: Graph, distances: np.ndarray) -> np.ndarray:
    """(N, N): what each superpixel gets of what another one has, when it flows between neighbours that are alike.

    Yang et al., 2013, equation 3; a superpixel gets nothing from itself.

    Parameters
    ----------
    distances : (N, N), how unlike they are
    """
    alike = np.exp(to_unit(distances) / np.float32(-0.1))
    weights = np.where(graph.neighbourhood, alike, 0).astype(np.float64)
    spread: np.ndarray = np.linalg.inv(np.diag(weights.sum(1) + 1e-6) - 0.99 * weights)
    np.fill_diagonal(spread, 0)
    return spread


CUES: dict[str, Cue] = {"contrast": contrast, "boundary": boundary, "barrier": barrier, "ranking": ranking}


def to_unit(values: np.ndarray) -> np.ndarray:
    """Scale to 0..1, float32; all zeros where all values are the same."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return np.zeros(values.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)
