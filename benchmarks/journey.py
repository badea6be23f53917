"""A picture of one frame's journey: frame, superpixels, what the memory reads, and the mask.

python benchmarks/journey.py PICTURE.jpg [--source VIDEO --mask MASK.png] [--frame 30] [--scale 0.6]
"""

from __future__ import annotations

import cv2
import numpy as np
from picture import drawn, named

from common import above_zero, add_clip, at_least, described, new_picture, plainly, read_clip, write_picture
from shls.runtime.errors import BadInput
from shls.runtime.features.encoder import EncodedFrame
from shls.runtime.io.masks import overlay
from shls.runtime.segmenter import VideoSegmenter, open_segmenter
from shls.runtime.types import Readout


class Watched(VideoSegmenter):
    """Segmenter that keeps the superpixels and the readout of its last frame."""

    labels: np.ndarray
    readout: np.ndarray

    def _decide_pixels(self, frame: EncodedFrame, readout: Readout, last: np.ndarray) -> np.ndarray:
        self.labels, self.readout = frame.superpixels.labels, readout.probabilities
        return super()._decide_pixels(frame, readout, last)


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("picture", type=new_picture, help="file to write, .jpg or .png")
    add_clip(parser)
    parser.add_argument("--frame", type=at_least(1), default=30, help="number of the frame; default: 30")
    parser.add_argument("--scale", type=above_zero, default=0.6, help="scale of each of the four parts; default: 0.6")
    args = parser.parse_args()
    images, mask = read_clip(args, args.frame + 1)
    if len(images) <= args.frame:
        raise BadInput(f"{args.source}: ends before frame {args.frame}. Choose an earlier --frame")
    with open_segmenter() as opened:
        segmenter = Watched(opened.session, opened.refiner)
        segmenter.start(images[0], mask)
        for image in images[1:]:
            found = segmenter.step(image)
    image, labels = images[-1], segmenter.labels
    if labels.shape != image.shape[:2]:
        labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    grey = np.round(255 * (1 - segmenter.readout[:, 0])).astype(np.uint8)[labels]
    parts = {
        "frame": image,
        f"{labels.max() + 1} superpixels": drawn(image, labels, np.empty(0, int)),
        "memory: probability per superpixel": cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1],
        "mask after refinement": overlay(image, found.labels),
    }
    one, two, three, four = (named(part, name) for name, part in parts.items())
    picture = np.vstack([np.hstack([one, two]), np.hstack([three, four])])
    write_picture(args.picture, cv2.resize(picture, None, fx=args.scale, fy=args.scale, interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    plainly(main)
