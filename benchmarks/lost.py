"""Detection of objects that leave and return, on clips spliced from sequences with known masks.

    python benchmarks/lost.py --root DAVIS --set single.txt [--frames 40]

Each sequence gives three splices. *cut*: a dozen frames of the next sequence are inserted. *wall*: a picture of the
next sequence slides over the clip, stays and slides on. *paste*: the object moves over the next sequence, leaves on
the left and returns on the right. Columns: mean IoU before the object leaves; frames without the object, and those of
them that show it; frames with at least a third of the object after its return, those in which it was found (IoU above
0.5), and their mean IoU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from common import at_least, described, plainly
from shls.runtime.errors import BadInput
from shls.runtime.evaluation.davis import SequenceFiles, find_sequences
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.io.masks import read_mask
from shls.runtime.io.sources import open_source
from shls.runtime.segmenter import VideoSegmenter, open_segmenter

AWAY = 12  # frames
VISIBLE = 0.33  # share of the first mask from which on an object counts as back


class Shot(NamedTuple):
    """image : (H, W, 3) uint8; mask : (H, W) uint8, 0 or 1."""

    image: np.ndarray
    mask: np.ndarray


Splice = Callable[[list[Shot], list[Shot]], list[Shot]]


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--set", type=Path, required=True, dest="names")
    parser.add_argument("--frames", type=at_least(4), default=40, help="of each sequence, at most")
    parser.add_argument("--threads", type=at_least(0), default=0)
    options = parser.parse_args()
    sequences = find_sequences(options.root, options.names)
    segmenter = open_segmenter(threads=options.threads)
    print(f"{'':26}  before  away  shown  back  found   IoU")
    for name, splice in (("cut", cut), ("wall", wall), ("paste", paste)):
        rows = []
        for one, other in zip(sequences, sequences[1:] + sequences[:1], strict=True):
            clip = splice(read(one, options.frames), read(other, options.frames))
            rows.append(measure(segmenter, clip))
            print(f"{name:5} {one.name:20}  {line(rows[-1])}", flush=True)
        print(f"{name:5} {'all':20}  {line(together(rows))}", flush=True)


def read(sequence: SequenceFiles, frames: int) -> list[Shot]:
    with open_source(str(sequence.images)) as source:
        images = [frame.image for frame in islice(source, frames)]
        if missing := sorted(set(range(len(images))) - set(sequence.truths)):
            raise BadInput(f"{sequence.name}: image {missing[0]} has no annotation; expected one for each")
        masks = [read_mask(sequence.truths[t], source.size) for t in range(len(images))]
    return [Shot(image, (mask > 0).astype(np.uint8)) for image, mask in zip(images, masks, strict=True)]


def cut(shots: list[Shot], others: list[Shot]) -> list[Shot]:
    third = len(shots) // 3
    size = shots[0].image.shape[1::-1]
    between = [Shot(cv2.resize(other.image, size), np.zeros_like(shots[0].mask)) for other in others[:AWAY]]
    return [*shots[:third], *between, *shots[third:]]


def wall(shots: list[Shot], others: list[Shot]) -> list[Shot]:
    """Six frames to close, six to open."""
    width = shots[0].image.shape[1]
    picture = cv2.resize(others[0].image, shots[0].image.shape[1::-1])
    clip = []
    for t, shot in enumerate(shots):
        image, mask = shot.image.copy(), shot.mask.copy()
        right = int(width * min(1, max(0, (t - 7) / 6)))
        left = int(width * min(1, max(0, (t - 13 - AWAY) / 6)))
        image[:, left:right], mask[:, left:right] = picture[:, left:right], 0
        clip.append(Shot(image, mask))
    return clip


def paste(shots: list[Shot], others: list[Shot]) -> list[Shot]:
    height, width = others[0].mask.shape
    clip = []
    for (thing, alpha), (x, y), other in zip(things(shots, height), path(width, height), others, strict=False):
        place = np.array([[1, 0, x - thing.shape[1] / 2], [0, 1, y - thing.shape[0] / 2]], np.float32)
        moved = cv2.warpAffine(np.dstack([thing, alpha * 255]), place, (width, height)).astype(np.float32)
        share = moved[..., 3:] / 255
        image = other.image * (1 - share) + moved[..., :3] * share
        clip.append(Shot(np.rint(image).astype(np.uint8), (share[..., 0] > 0.5).astype(np.uint8)))
    return clip


def things(shots: list[Shot], height: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The object of each frame, cut out, scaled so that in the first it is at most 0.4 of a height."""
    scale = 1.0
    for t, shot in enumerate(shots):
        x, y, w, h = cv2.boundingRect(shot.mask)
        if w * h == 0:
            return
        scale = min(1.0, 0.4 * height / max(w, h)) if t == 0 else scale
        inside = slice(y, y + h), slice(x, x + w)
        yield tuple(cv2.resize(a[inside], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for a in shot)  # type: ignore[misc]


def path(width: int, height: int) -> Iterator[tuple[float, float]]:
    """Path that leaves on the left within ten frames, returns on the right and stays there."""
    step, out = width / 30, -width / 3
    for x in np.arange(0.35 * width, out, -step):
        yield x, 0.6 * height
    for x in np.arange(1.2 * width, 0.7 * width, -step):
        yield x, 0.45 * height
    while True:
        yield 0.7 * width, 0.45 * height


def measure(segmenter: VideoSegmenter, clip: list[Shot]) -> np.ndarray:
    """(6,): mean IoU before, frames away, of these shown, frames back, of these found, mean IoU then."""
    visible = np.array([shot.mask.sum() / clip[0].mask.sum() for shot in clip])
    segmenter.start(*clip[0])
    found = [clip[0].mask, *(segmenter.step(shot.image).labels for shot in clip[1:])]
    overlaps = np.array([jaccard(mask > 0, shot.mask > 0) for mask, shot in zip(found, clip, strict=True)])
    away = np.flatnonzero(visible == 0)
    if not away.size:
        return np.full(6, np.nan)
    at = np.arange(len(clip))
    before = (at > 0) & (at < away[0]) & (visible > VISIBLE)
    back = (at > away[-1]) & (visible > VISIBLE)
    shown = sum(bool(found[t].any()) for t in away)
    return np.array([
        mean(overlaps[before]), len(away), shown, back.sum(), (overlaps[back] > 0.5).sum(), mean(overlaps[back])
    ])  # fmt: skip


def mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else np.nan


def together(rows: list[np.ndarray]) -> np.ndarray:
    """Means of the IoUs, sums of the frames."""
    table = np.array([row for row in rows if not np.isnan(row[1])]).reshape(-1, 6)
    if not len(table):
        return np.full(6, np.nan)
    totals = np.nansum(table, axis=0)
    for column in (0, 5):
        totals[column] = mean(table[~np.isnan(table[:, column]), column])
    return totals


def line(row: np.ndarray) -> str:
    before, away, shown, back, found, after = row
    if np.isnan(away):
        return "never gone"
    return f"{before:6.3f}  {away:4.0f}  {shown:5.0f}  {back:4.0f}  {found:5.0f}  {after:5.3f}"


if __name__ == "__main__":
    plainly(main)
