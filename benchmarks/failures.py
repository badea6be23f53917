"""Sheet of pictures of wrong masks, from the sequences with the lowest J.

    shls eval --root DAVIS --set single.txt --out masks/
    python benchmarks/failures.py masks/ SHEET.jpg --root DAVIS --set single.txt [--sequences 4] [--frames 4]

The sheet has a row per sequence, the worst first. Each sequence is divided into parts, and the worst frame of each
part is shown. Green is right, blue is missed, red is wrong. The number in the corner is J, the mean over the frame's
objects. Pictures of a data set are under its terms and do not belong into this repository.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common import at_least, described, judged_picture, new_picture, plainly, write_picture
from shls.runtime.errors import BadInput
from shls.runtime.evaluation.davis import SequenceFiles, find_sequences, read_truth
from shls.runtime.evaluation.metrics import jaccard, object_ids
from shls.runtime.io.image_files import read_image, source_files

WIDTH = 427
"""Of a picture, pixels."""


class Frame(NamedTuple):
    """A frame of a sequence: its number, where it lies, what was found and what is right, and J."""

    number: int
    image: Path
    found: np.ndarray
    truth: np.ndarray
    j: float


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("masks", type=Path, help="folder of `shls eval --out`")
    parser.add_argument("sheet", type=new_picture)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--set", type=Path, required=True, dest="names")
    parser.add_argument("--sequences", type=at_least(1), default=4)
    parser.add_argument("--frames", type=at_least(1), default=4)
    options = parser.parse_args()
    found = {sequence.name: judged(sequence, options.masks) for sequence in find_sequences(options.root, options.names)}
    means = {name: float(np.mean([frame.j for frame in frames])) for name, frames in found.items()}
    worst = sorted(means, key=lambda name: means[name])[: options.sequences]
    rows = []
    for name in worst:
        print(f"{name:24} J {means[name]:.3f}")
        shown = [min(part, key=lambda frame: frame.j) for part in stretches(found[name], options.frames)]
        rows.append(np.hstack([picture(frame, name) for frame in shown]))
    height = min(len(row) for row in rows)
    write_picture(options.sheet, np.vstack([row[:height] for row in rows]))


def judged(sequence: SequenceFiles, masks: Path) -> list[Frame]:
    """The frames that DAVIS counts: without the first and the last."""
    images = source_files(str(sequence.images))
    size = read_image(images[0]).shape[:2]
    first = read_truth(sequence.truths[min(sequence.truths)], size)
    frames = []
    for number, path in sorted(sequence.truths.items())[1:-1]:
        mask = masks / sequence.name / f"{images[number].stem}.png"
        if not mask.exists():
            raise BadInput(f"{mask}: no such prediction; run `shls eval --out {masks}` on the same set")
        found, truth = read_truth(mask, size), read_truth(path, size)
        j = float(np.mean([jaccard(found == k, truth == k) for k in object_ids(first)]))
        frames.append(Frame(number, images[number], found, truth, j))
    return frames


def stretches(frames: list[Frame], count: int) -> list[list[Frame]]:
    """The frames in as many parts, about equally long, none empty."""
    edges = np.linspace(0, len(frames), min(count, len(frames)) + 1).astype(int)
    return [frames[begin:end] for begin, end in pairwise(edges)]


def picture(frame: Frame, name: str) -> np.ndarray:
    """Draw right and wrong pixels over the frame, (h, WIDTH, 3) uint8."""
    return judged_picture(
        read_image(frame.image), frame.found, frame.truth, f"{name} {frame.number}  J {frame.j:.2f}", WIDTH
    )


if __name__ == "__main__":
    plainly(main)
