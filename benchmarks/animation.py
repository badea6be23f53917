"""An animated picture of a clip with its followed objects, for web pages.

    python benchmarks/animation.py PICTURE.webp [--source VIDEO --mask MASK.png] [--every 3] [--width 480]

Every frame is segmented; every third is shown, at the clip's own speed.
"""

from __future__ import annotations

import io

import cv2
from PIL import Image

from common import add_clip, at_least, described, new_file, plainly, read_clip
from shls.runtime._support.files import replace_file
from shls.runtime.errors import BadInput
from shls.runtime.io.masks import overlay
from shls.runtime.io.sources import open_source
from shls.runtime.segmenter import open_segmenter

QUALITY = 55


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("picture", type=new_file, help="file to write, .webp or .gif")
    add_clip(parser)
    parser.add_argument("--frames", type=at_least(2), help="number of frames to read; default: all")
    parser.add_argument("--every", type=at_least(1), default=3, help="show every n-th frame; default: 3")
    parser.add_argument("--width", type=at_least(16), default=480, help="width in pixels; default: 480")
    args = parser.parse_args()
    if args.picture.suffix.lower() not in (".webp", ".gif"):
        raise BadInput(f"{args.picture}: not an animated picture (expected .webp or .gif). Choose another suffix")
    images, mask = read_clip(args, args.frames)
    with open_source(args.source) as source:
        duration = round(1000 * args.every / source.fps)
    size = args.width, round(args.width * images[0].shape[0] / images[0].shape[1])
    shown = []
    with open_segmenter() as segmenter:
        segmenter.start(images[0], mask)
        for index, image in enumerate(images):
            labels = mask if index == 0 else segmenter.step(image).labels
            if index % args.every == 0:
                shown.append(Image.fromarray(cv2.resize(overlay(image, labels), size, interpolation=cv2.INTER_AREA)))
    content = io.BytesIO()
    kind = args.picture.suffix[1:].upper()
    options = {"quality": QUALITY, "method": 6} if kind == "WEBP" else {}
    shown[0].save(content, kind, save_all=True, append_images=shown[1:], duration=duration, loop=0, **options)
    replace_file(args.picture, content.getvalue())


if __name__ == "__main__":
    plainly(main)
