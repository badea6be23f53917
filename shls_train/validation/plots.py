"""Plots of an embedding network: superpixel matches between frames, and clusters of superfeatures."""

from __future__ import annotations

import colorsys
from pathlib import Path

import cv2
import numpy as np

from shls.runtime._support.files import write_whole
from shls.runtime.features.preprocess import to_input
from shls.runtime.features.superfeatures import superfeatures
from shls.runtime.models.settings import SuperpixelSettings
from shls.runtime.superpixels.slic import slic
from shls.runtime.types import Superpixels

from ..data.clips import Clip
from ..models.edge import Embedding
from .synthetic import SIZE, NetworkSession

SUPERPIXELS = SuperpixelSettings(400)
LINES = 60
"""Matches that are drawn."""

NEAR = 1.5
"""Largest distance of a correct match from the true position, in mean superpixel widths."""

CLUSTERS = 12
RIGHT, WRONG = (60, 200, 60), (230, 60, 50)


def draw_matches(network: Embedding, clip: Clip) -> np.ndarray:
    """Draw matches between the most similar superpixels of a clip's first and last frame.

    Parameters
    ----------
    network : Embedding
        Embedding network in evaluation mode.
    clip : Clip
        Clip with known correspondence, of the size `shls_train.validation.synthetic.SIZE`.

    Returns
    -------
    (H, 2 W, 3) uint8 RGB array
        Both frames, side by side. Correct matches are green, wrong matches are red. The title states the share of
        correct matches among all superpixels that are visible in both frames.

    Examples
    --------
    >>> picture = draw_matches(network, clip)  # doctest: +SKIP
    """
    (first, first_features), (last, last_features) = (_describe(network, clip.frames[at]) for at in (0, -1))
    positions, visible = clip.correspondence(0, len(clip.frames) - 1)
    x, y = np.rint(first.centres).astype(int).T
    known = np.flatnonzero(visible[y, x])
    matches = last.centres[(first_features[known] @ last_features.T).argmax(1)]
    width = (first.labels.size / len(first.areas)) ** 0.5
    correct = np.linalg.norm(matches - positions[y, x][known], axis=1) < NEAR * width
    picture = np.hstack([clip.frames[0], clip.frames[-1]])
    for match in np.random.default_rng(0).permutation(len(known))[:LINES]:
        ends = first.centres[known[match]], matches[match] + [clip.frames.shape[2], 0]
        begin, end = (tuple(int(v) for v in np.rint(point)) for point in ends)
        cv2.line(picture, begin, end, RIGHT if correct[match] else WRONG, 1, cv2.LINE_AA)
    return _titled(picture, f"{correct.mean() if len(correct) else 0:.0%} of {len(known)} matches correct")


def draw_clusters(network: Embedding, clip: Clip) -> np.ndarray:
    """Draw the clusters of superfeatures in a clip's first and last frame.

    Parameters
    ----------
    network : Embedding
        Embedding network in evaluation mode.
    clip : Clip
        Clip of the size `shls_train.validation.synthetic.SIZE`.

    Returns
    -------
    (2 H, 2 W, 3) uint8 RGB array
        Frames on the left, clusters on the right, one colour per cluster.

    Examples
    --------
    >>> picture = draw_clusters(network, clip)  # doctest: +SKIP
    """
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
    """Write a picture atomically as PNG.

    Parameters
    ----------
    path : Path
        PNG file. Missing folders are created.
    picture : (H, W, 3) uint8
        RGB picture.

    Raises
    ------
    BadInput
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_picture(Path(folder, "a.png"), np.zeros((4, 6, 3), np.uint8))
    ...     print(cv2.imread(f"{folder}/a.png").shape)
    (4, 6, 3)
    """
    write_whole(path, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())


def _describe(network: Embedding, frame: np.ndarray) -> tuple[Superpixels, np.ndarray]:
    """Compute superpixels and superfeatures of a frame."""
    session = NetworkSession(network, SIZE.height, SIZE.width)
    superpixels = slic(frame, SUPERPIXELS)
    features = session.run(to_input(frame, session.contract))
    return superpixels, superfeatures(features, superpixels, session.contract.head)


def _titled(picture: np.ndarray, text: str) -> np.ndarray:
    cv2.putText(picture, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return picture
