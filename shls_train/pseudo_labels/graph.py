"""Superpixel graph of a still, on which saliency is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numba
import numpy as np

from shls.runtime.models.settings import SuperpixelSettings
from shls.runtime.superpixels.slic import slic
from shls.runtime.types import Superpixels

SETTINGS = SuperpixelSettings(count=200, compactness=20.0)  # 200, as in the papers of the cues
FAR = np.float32(1e9)  # distance between parts without a connecting path


@dataclass(frozen=True)
class Graph:
    """Superpixels of one image and their adjacency.

    Attributes
    ----------
    labels : (H, W) int32 array
        Superpixel labels, 0 to N - 1.
    colours : (N, 3) float32 array
        Mean Lab colours, L in 0 to 100.
    centres : (N, 2) float32 array
        Centres, x and y relative to the image's longer side.
    areas : (N,) float32 array
        Areas relative to the image.
    sides : (4, N) bool array
        True where a superpixel touches the top, bottom, left or right border.
    adjacent : (N, N) bool array
        True where two superpixels touch; symmetric, false on the diagonal.

    Examples
    --------
    >>> graph, _ = example_graph()
    >>> round(float(graph.areas.sum()), 3)
    1.0
    """

    labels: np.ndarray
    colours: np.ndarray
    centres: np.ndarray
    areas: np.ndarray
    sides: np.ndarray
    adjacent: np.ndarray

    @cached_property
    def colour_distances(self) -> np.ndarray:
        """Euclidean distances between Lab colours, (N, N) float32."""
        return np.sqrt(_squared_distances(self.colours))

    @cached_property
    def nearness(self) -> np.ndarray:
        """Gaussian of the distance between centres, (N, N) float32; sigma is a quarter of the longer side."""
        return np.exp(_squared_distances(self.centres) / np.float32(-2 * 0.25**2))

    @cached_property
    def neighbourhood(self) -> np.ndarray:
        """Pairs of superpixels within two steps of each other or both on the border, (N, N) bool."""
        steps = self.adjacent.astype(np.float32)
        near = self.adjacent | (steps @ steps > 0) | (self.border[:, None] & self.border[None])
        np.fill_diagonal(near, False)
        return near

    @cached_property
    def background(self) -> np.ndarray:
        """Background probability by boundary connectivity (Zhu et al., 2014, equations 1 to 7), (N,) float32."""
        share = np.exp(geodesics(self) ** 2 / np.float32(-2 * 10.0**2))
        connectivity = share @ self.border.astype(np.float32) / np.sqrt(share.sum(1))
        return 1 - np.exp(connectivity**2 / -2)

    @property
    def superpixels(self) -> Superpixels:
        """The superpixels in the runtime's data type."""
        height, width = self.labels.shape
        areas = np.rint(self.areas * self.labels.size).astype(np.int32)
        return Superpixels(self.labels, self.centres * max(height, width), areas)

    @property
    def border(self) -> np.ndarray:
        """Superpixels that touch a border, (N,) bool."""
        return np.logical_or.reduce(self.sides)

    def paint(self, values: np.ndarray) -> np.ndarray:
        """Paint values per superpixel, (N,), to a map, (H, W)."""
        return values[self.labels]

    def pool(self, image: np.ndarray) -> np.ndarray:
        """Average a map, (H, W), over superpixels, (N,) float32."""
        flat = self.labels.ravel()
        return (np.bincount(flat, image.ravel()) / np.bincount(flat)).astype(np.float32)


def to_lab(image: np.ndarray) -> np.ndarray:
    """Convert an image to Lab colours.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB image.

    Returns
    -------
    (H, W, 3) float32 array
        Lab colours, L in 0 to 100.

    Examples
    --------
    >>> to_lab(np.full((1, 1, 3), 255, np.uint8)).round().tolist()
    [[[100.0, 0.0, 0.0]]]
    """
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def build_graph(image: np.ndarray, lab: np.ndarray) -> Graph:
    """Build the superpixel graph of an image.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB image.
    lab : (H, W, 3) float32
        Lab colours of the image; see `to_lab`.

    Returns
    -------
    Graph
        About 200 superpixels.

    Examples
    --------
    >>> image = np.zeros((48, 64, 3), np.uint8)
    >>> build_graph(image, to_lab(image)).labels.shape
    (48, 64)
    """
    labels, centres, areas = slic(image, SETTINGS)
    flat, height, width = labels.ravel(), *labels.shape
    colours = np.stack([np.bincount(flat, lab[..., c].ravel()) for c in range(3)], axis=1) / areas[:, None]
    sides = np.zeros((4, len(areas)), bool)
    for side, touching in zip(sides, (labels[0], labels[-1], labels[:, 0], labels[:, -1]), strict=True):
        side[touching] = True
    return Graph(
        labels,
        colours.astype(np.float32),
        (centres / max(height, width)).astype(np.float32),
        (areas / flat.size).astype(np.float32),
        sides,
        _adjacency(labels, len(areas)),
    )


def geodesics(graph: Graph) -> np.ndarray:
    """Compute geodesic colour distances between all superpixels.

    The length of a step is the colour difference of adjacent superpixels. Border superpixels are adjacent to each
    other. Differences up to the mean nearest-neighbour difference count as texture and have length zero.
    Source: Zhu et al., 2014, after Wei et al., 2012.

    Parameters
    ----------
    graph : Graph
        Superpixels of an image.

    Returns
    -------
    (N, N) float32 array
        Length of the shortest path between two superpixels, in Lab units.

    Examples
    --------
    >>> graph, _ = example_graph()
    >>> float(np.diag(geodesics(graph)).max())
    0.0
    """
    linked = graph.adjacent | (graph.border[:, None] & graph.border[None])
    np.fill_diagonal(linked, False)
    steps = np.where(linked, graph.colour_distances, FAR)
    texture = np.minimum(steps.min(1), 100).mean()
    paths = np.where(linked, np.maximum(steps - texture, 0), FAR).astype(np.float32)
    np.fill_diagonal(paths, 0)
    _shorten(paths)
    return paths


def example_graph() -> tuple[Graph, np.ndarray]:
    """Build the graph and the Lab colours of a 48x64 image with a red square on grey, for examples.

    Examples
    --------
    >>> example_graph()[1].shape
    (48, 64, 3)
    """
    image = np.full((48, 64, 3), 90, np.uint8)
    image[14:34, 22:42] = 220, 40, 40
    lab = to_lab(image)
    return build_graph(image, lab), lab


def _squared_distances(points: np.ndarray) -> np.ndarray:
    norms = (points**2).sum(1)
    return np.maximum(norms[:, None] + norms[None] - 2 * points @ points.T, 0)


def _adjacency(labels: np.ndarray, count: int) -> np.ndarray:
    adjacent = np.zeros((count, count), bool)
    for one, other in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        adjacent[one, other] = True
    adjacent |= adjacent.T
    np.fill_diagonal(adjacent, False)
    return adjacent


@numba.njit(cache=True, nogil=True)
def _shorten(paths: np.ndarray) -> None:
    """Compute all shortest paths in place (Floyd-Warshall)."""
    count = len(paths)
    for middle in range(count):
        onward = paths[middle]
        for start in range(count):
            first = paths[start, middle]
            row = paths[start]
            for end in range(count):
                row[end] = min(row[end], first + onward[end])
