"""A still as a graph of a few hundred superpixels, on which saliency is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numba
import numpy as np

from shls.runtime.models.settings import SuperpixelSettings
from shls.runtime.superpixels.slic import slic
from shls.runtime.types import Superpixels

SETTINGS = SuperpixelSettings(count=200, compactness=20.0)  # 200 is what the papers behind the cues use
FAR = np.float32(1e9)  # between parts that no path joins


@dataclass(frozen=True)
class Graph:
    """Superpixels of one image and who touches whom.

    Attributes
    ----------
    labels : (H, W) int32, 0..N-1
    colours : (N, 3) float32, mean Lab, L in 0..100
    centres : (N, 2) float32, x and y as shares of the image's longer side
    areas : (N,) float32, shares of the image
    sides : (4, N) bool, touches the top, bottom, left, right border
    adjacent : (N, N) bool, symmetric, false on the diagonal
    """

    labels: np.ndarray
    colours: np.ndarray
    centres: np.ndarray
    areas: np.ndarray
    sides: np.ndarray
    adjacent: np.ndarray

    @cached_property
    def colour_distances(self) -> np.ndarray:
        """(N, N) float32, Euclidean in Lab."""
        return np.sqrt(_squared_distances(self.colours))

    @cached_property
    def nearness(self) -> np.ndarray:
        """(N, N) float32, Gaussian of the distance between centres, a quarter of the longer side wide."""
        return np.exp(_squared_distances(self.centres) / np.float32(-2 * 0.25**2))

    @cached_property
    def neighbourhood(self) -> np.ndarray:
        """(N, N) bool: neighbours, their neighbours, and all border superpixels among one another."""
        steps = self.adjacent.astype(np.float32)
        near = self.adjacent | (steps @ steps > 0) | (self.border[:, None] & self.border[None])
        np.fill_diagonal(near, False)
        return near

    @cached_property
    def background(self) -> np.ndarray:
        """(N,) float32 probability of being background: how much of the even surroundings lies on the border.

        Boundary connectivity, Zhu et al., 2014, equations 1 to 7.
        """
        share = np.exp(geodesics(self) ** 2 / np.float32(-2 * 10.0**2))
        connectivity = share @ self.border.astype(np.float32) / np.sqrt(share.sum(1))
        return 1 - np.exp(connectivity**2 / -2)

    @property
    def superpixels(self) -> Superpixels:
        """As the runtime has them."""
        height, width = self.labels.shape
        areas = np.rint(self.areas * self.labels.size).astype(np.int32)
        return Superpixels(self.labels, self.centres * max(height, width), areas)

    @property
    def border(self) -> np.ndarray:
        """(N,) bool, touches any border."""
        return np.logical_or.reduce(self.sides)

    def paint(self, values: np.ndarray) -> np.ndarray:
        """(N,) values to an (H, W) map."""
        return values[self.labels]

    def pool(self, image: np.ndarray) -> np.ndarray:
        """(H, W) map to (N,) float32 means."""
        flat = self.labels.ravel()
        return (np.bincount(flat, image.ravel()) / np.bincount(flat)).astype(np.float32)


def to_lab(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB to float32 Lab, L in 0..100."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def build_graph(image: np.ndarray, lab: np.ndarray) -> Graph:
    """Cut an image, (H, W, 3) uint8 RGB with its Lab colours, into superpixels."""
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
    """(N, N) float32: length of the shortest path along neighbours, the border being one ring.

    A step is as long as its colours differ; differences as small as those to the nearest neighbours are texture and
    count as nothing (Zhu et al., 2014, after Wei et al., 2012).
    """
    linked = graph.adjacent | (graph.border[:, None] & graph.border[None])
    np.fill_diagonal(linked, False)
    steps = np.where(linked, graph.colour_distances, FAR)
    texture = np.minimum(steps.min(1), 100).mean()
    paths = np.where(linked, np.maximum(steps - texture, 0), FAR).astype(np.float32)
    np.fill_diagonal(paths, 0)
    _shorten(paths)
    return paths


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
    """All shortest paths, in place (Floyd and Warshall)."""
    count = len(paths)
    for middle in range(count):
        onward = paths[middle]
        for start in range(count):
            first = paths[start, middle]
            row = paths[start]
            for end in range(count):
                row[end] = min(row[end], first + onward[end])
