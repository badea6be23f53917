"""ISEC superpixels: over-segmentation by clustering of edges, the algorithm of the published method.

The idea is that of Mendonça et al. (2023); the algorithm is our own. Canny edges are computed at growing sigma. Where
edges are dense, only those found at two scales stay. Areas are closed by the distance to the nearest edge, largest
distance first, so a narrow gap in an edge does not leak. The cores then grow until they meet at the edge. Small regions
join the neighbour with the nearest colour, in two steps.

`settings.count` only sets the least area: the number of regions follows the content. The setting
``superpixels.algorithm = "isec"`` selects this algorithm.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import get_num_threads, njit

from ..models.settings import SuperpixelSettings
from ..types import Superpixels
from . import _connectivity as regions
from . import _run_lengths as runs
from ._color_planes import LANES, checked_image, to_planes

SIGMAS = (1.0, 2.0)  # of the Gaussian before Canny, pixels
LOW, HIGH = 30.0, 75.0  # Canny's thresholds for the unsmoothed image, on planes of 7 bits
WEIGHTS = 2, 1, 1  # of the planes: luma counts double
CROWDED = 0.35  # ratio of edge pixels within 9x9 pixels above which edges are dense
CORES = (4.0, 2.0, 1.0)  # distance from the nearest edge at which the core of an area starts, pixels
LEAST = (0.05, 0.15)  # least area of a region per step, as a ratio of the mean area of `count` superpixels


def isec(image: np.ndarray, settings: SuperpixelSettings) -> Superpixels:
    """Partition a frame along its edges.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    settings : SuperpixelSettings
        Only `count` is used, to set the least area of a region.

    Returns
    -------
    Superpixels

    Raises
    ------
    ShapeMismatch, BadInput
        As `slic`.

    Examples
    --------
    >>> isec(np.full((40, 60, 3), 128, np.uint8), SuperpixelSettings(count=6)).labels.shape
    (40, 60)
    """
    image = checked_image(image)
    height, width = image.shape[:2]
    padded = -(-width // LANES) * LANES
    chunks = min(get_num_threads(), height)
    planes = np.zeros((3, height, padded), np.uint8)
    to_planes(image, planes, chunks)
    labels = np.zeros((height, padded), np.uint16)
    space = runs.allocate(height, width)
    count = _grow(_cores(_edges(planes[:, :, :width]), space, chunks), labels)
    for share in LEAST:
        colours = _colours(planes, labels, count, width)
        least = share * height * width / settings.count
        result = regions.connect(labels, planes, colours, space, count, least, chunks)
        count = len(result.areas)
    return result


def _edges(planes: np.ndarray) -> np.ndarray:
    """Find edges at any scale, (H, W) bool; among dense edges only those of several scales."""
    votes, planes = np.zeros(planes.shape[1:], np.uint8), np.ascontiguousarray(planes)
    for sigma in SIGMAS:
        found = np.zeros_like(votes)
        for weight, plane in zip(WEIGHTS, planes, strict=True):
            smooth = cv2.GaussianBlur(plane, (0, 0), sigma)
            scale = 2.0 / (1.0 + sigma) / weight
            found |= cv2.Canny(smooth, LOW * scale, HIGH * scale)
        votes += found >> 7
    crowd = cv2.boxFilter((votes > 0).astype(np.uint8) * 255, -1, (9, 9))
    return (votes > 1) | ((votes > 0) & (crowd < 255 * CROWDED))


def _cores(edges: np.ndarray, space: runs.Runs, chunks: int) -> np.ndarray:
    """(H, W) uint8, 0 in the cores of areas, else 1: wide cores first, then areas without one."""
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, 3)
    cores = (distance > CORES[0]).astype(np.uint8)
    for level in CORES[1:]:
        inside = (distance > level).astype(np.uint16)
        runs.find(inside, space, inside.shape[1], chunks, 1)
        _add_cores(inside, space, runs.components(inside, space, chunks, 1), cores)
    return 1 - cores


def _grow(outside: np.ndarray, labels: np.ndarray) -> int:
    """Give every pixel the label of the nearest core, numbered from 0; returns their number."""
    if outside.all():
        return 1
    _, nearest = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_CCOMP)
    nearest -= 1
    count = int(nearest.max()) + 1
    if count > np.iinfo(np.uint16).max:  # noise on a huge frame: neighbouring cores share a label, and are torn later
        nearest %= np.iinfo(np.uint16).max
        count = np.iinfo(np.uint16).max
    labels[:, : nearest.shape[1]] = nearest
    return count


@njit(cache=True, nogil=True)
def _add_cores(inside: np.ndarray, space: runs.Runs, found: np.ndarray, cores: np.ndarray) -> None:
    """Add the components, from `runs.components`, of what is inside that hold no core yet."""
    start, parent, names = space.start, space.parent, space.names
    free = np.empty(len(found), np.bool_)
    for i in range(len(found)):
        free[i] = found[i, 1] > 0
    for y in range(len(inside)):
        for r in range(space.rows[y, 0], space.rows[y, 1]):
            if free[names[parent[r]]]:
                free[names[parent[r]]] = not cores[y, start[r] : start[r + 1]].any()
    for y in range(len(inside)):
        for r in range(space.rows[y, 0], space.rows[y, 1]):
            if free[names[parent[r]]]:
                cores[y, start[r] : start[r + 1]] = 1


@njit(cache=True, nogil=True)
def _colours(planes: np.ndarray, labels: np.ndarray, count: int, width: int) -> np.ndarray:
    """Mean colour of each label, (count, 3) int16; 0 where there is none."""
    sums = np.zeros((count, 4), np.int64)
    for y in range(labels.shape[0]):
        for x in range(width):
            k = labels[y, x]
            sums[k, 0] += planes[0, y, x]
            sums[k, 1] += planes[1, y, x]
            sums[k, 2] += planes[2, y, x]
            sums[k, 3] += 1
    out = np.zeros((count, 3), np.int16)
    for k in range(count):
        for c in range(3):
            out[k, c] = sums[k, c] // max(1, sums[k, 3])
    return out
