"""Follow objects through a batch of images, and write one palette PNG of object ids per image.

python examples/images.py first_mask.png masks/ image_000.jpg image_001.jpg image_002.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import shls
from shls.runtime.io.folder_sink import MaskFolderSink
from shls.runtime.io.image_files import read_image
from shls.runtime.io.masks import read_mask


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow objects through images of one size, in the given order.")
    parser.add_argument("mask", type=Path, help="objects of the first image")
    parser.add_argument("out", type=Path, help="folder for the masks")
    parser.add_argument("images", type=Path, nargs="+", help="image files")
    args = parser.parse_args()

    with shls.open_segmenter() as segmenter, MaskFolderSink(args.out) as sink:
        for index, path in enumerate(args.images):
            image = read_image(path)
            if index == 0:
                marked = read_mask(args.mask, image.shape[:2])
                segmenter.start(image, marked)
                mask = shls.Mask(marked, {})
            else:
                mask = segmenter.step(image)
            sink.write(shls.Frame(image, index, float(index), path.stem), mask)
            print(path.stem, f"{(mask.labels > 0).mean():.1%} of the image")


if __name__ == "__main__":
    main()
