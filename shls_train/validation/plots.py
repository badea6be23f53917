"""Pictures of what a network has learned: which superpixels it matches, and which it holds for alike."""

from __future__ import annotations

import colorsys
from pathlib import Path

import cv2
import numpy as np

from shls.runtime._support.files import write_whole
from shls.runtime.features.preprocess import to_input
from shls.runtime.features.superfeatures import superfeatures
from shls.runtime.models.contract import SuperpixelSettings
from shls.runtime.superpixels.slic import slic
from shls.runtime.types import Superpixels

from ..data.clips import Clip
from ..models.edge import Embedding
from .synthetic import SIZE, NetworkSession

SUPERPIXELS = SuperpixelSettings(400)
LINES = 60
NEAR = 1.5
"""A match is right within so many mean superpixel widths."""

CLUSTERS = 12
RIGHT, WRONG = (60, 200, 60), (230, 60, 50)


def draw_matches(network: Embedding, clip: Clip) -> np.ndarray:
    """Lines from superpixels of the first frame to the most similar ones of the last: green where that is true.

    Returns
    -------
    (H, 2 W, 3) uint8 RGB; above the lines, how many of all that can be seen in both are right.
    """
    (first, here), (last, there) = (_describe(network, clip.frames[at]) for at in (0, -1))
    places, seen = clip.correspondence(0, len(clip.frames) - 1)
    x, y = np.rint(first.centres).astype(int).T
    known = np.flatnonzero(seen[y, x])
    found = last.centres[(here[known] @ there.T).argmax(1)]
    width = (first.labels.size / len(first.areas)) ** 0.5
    right = np.linalg.norm(found - places[y, x][known], axis=1) < NEAR * width
    picture = np.hstack([clip.frames[0], clip.frames[-1]])
    for one in np.random.default_rng(0).permutation(len(known))[:LINES]:
        start, end = first.centres[known[one]], found[one] + [clip.frames.shape[2], 0]
        begin, stop = (tuple(int(v) for v in np.rint(point)) for point in (start, end))
        cv2.line(picture, begin, stop, RIGHT if right[one] else WRONG, 1, cv2.LINE_AA)
    return _titled(picture, f"{right.mean() if len(right) else 0:.0%} of {len(known)} matches right")


def draw_clusters(network: Embedding, clip: Clip) -> np.ndarray:
    """The first frame and the last beside their superfeatures' clusters, one colour each, (2 H, 2 W, 3) uint8 RGB."""
    frames = clip.frames[[0, -1]]
    described = [_describe(network, frame) for frame in frames]
    together = np.concatenate([features for _, features in described]).astype(np.float32)
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0.0)
    _, owner, _ = cv2.kmeans(together, min(CLUSTERS, len(together)), None, stop, 1, cv2.KMEANS_PP_CENTERS)
    colours = np.array([colorsys.hsv_to_rgb(k / CLUSTERS, 0.8, 0.9) for k in range(CLUSTERS)]) * 255
    rows, at = [], 0
    for frame, (superpixels, features) in zip(frames, described, strict=True):
        own = owner[at : at + len(features), 0]
        at += len(features)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None]
        painted = 0.65 * colours[own][superpixels.labels] + 0.35 * grey
        rows.append(np.hstack([frame, painted.astype(np.uint8)]))
    return np.vstack(rows)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, whole; raises BadInput where that is not possible."""
    write_whole(path, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())


def _describe(network: Embedding, frame: np.ndarray) -> tuple[Superpixels, np.ndarray]:
    session = NetworkSession(network, SIZE.height, SIZE.width)
    superpixels = slic(frame, SUPERPIXELS)
    features = session.run(to_input(frame, session.contract))
    return superpixels, superfeatures(features, superpixels, session.contract.head)


def _titled(picture: np.ndarray, text: str) -> np.ndarray:
    cv2.putText(picture, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return picture
