"""Picture of superpixels over frames of a clip: cold, warm and ISEC, one below the other.

    python benchmarks/picture.py PICTURE.jpg [--source VIDEO] [--frames 10 40] [--count 1500]

Warm superpixels follow the clip from its first frame to the frames shown. Six labels that exist in all of them are
filled, one colour per label. Warm labels keep their place; cold labels with the same number are elsewhere.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from common import above_zero, at_least, described, new_picture, plainly, write_picture
from shls.runtime.backends.pretrained import SHIPPED_MODEL
from shls.runtime.errors import BadInput
from shls.runtime.io.sources import open_source
from shls.runtime.models.settings import SuperpixelSettings
from shls.runtime.superpixels.isec import isec
from shls.runtime.superpixels.slic import SuperpixelTracker, slic

FILLED = ((230, 60, 60), (60, 200, 60), (70, 110, 255), (240, 200, 40), (210, 80, 220), (60, 210, 220))


def drawn(image: np.ndarray, labels: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """The image with outlines, and the marked labels filled."""
    out = image.copy()
    for label, colour in zip(marked, FILLED, strict=False):
        out[labels == label] = colour
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    out[edge] = (255, 255, 255)
    return out


def named(image: np.ndarray, text: str) -> np.ndarray:
    out = image.copy()
    for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(out, text, (10, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, width, cv2.LINE_AA)
    return out


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("picture", type=new_picture)
    parser.add_argument("--source", default=str(SHIPPED_MODEL.parent / "bunny.mp4"))
    parser.add_argument("--frames", type=at_least(0), nargs="+", default=[10, 40])
    parser.add_argument("--count", type=at_least(1), default=SuperpixelSettings().count)
    parser.add_argument("--scale", type=above_zero, default=0.7)
    args = parser.parse_args()
    settings = SuperpixelSettings(args.count)
    tracker = SuperpixelTracker(settings)
    rows: dict[str, list[np.ndarray]] = {"cold": [], "warm": [], "ISEC": []}
    with open_source(args.source) as frames:
        for frame in itertools.islice(frames, max(args.frames) + 1):
            followed = tracker.step(frame.image).labels
            if frame.index in args.frames:
                found = {"cold": slic(frame.image, settings).labels, "warm": followed}
                found["ISEC"] = isec(frame.image, settings).labels
                for name, labels in found.items():
                    marked = np.linspace(0.2, 0.8, len(FILLED)) * settings.count
                    chosen = marked.astype(int) if name != "ISEC" else np.empty(0, int)
                    title = f"{name}, frame {frame.index}, {labels.max() + 1} regions"
                    rows[name].append(named(drawn(frame.image, labels, chosen), title))
    if len(rows["cold"]) < len(set(args.frames)):
        raise BadInput(f"{args.source}: ends before frame {max(args.frames)}; choose earlier --frames")
    picture = np.vstack([np.hstack(row) for row in rows.values()])
    picture = cv2.resize(picture, None, fx=args.scale, fy=args.scale, interpolation=cv2.INTER_AREA)
    write_picture(args.picture, picture)


if __name__ == "__main__":
    plainly(main)
