"""Draw eight synthetic clips, as the refiner is trained on, to look at.

    python benchmarks/clips.py docs/clips.jpg [--stills FOLDER --masks FOLDER]

Without a folder the stills are those that scikit-image ships (public domain or CC0) and frames of the shipped clip;
without masks they are found first, as `shls pseudo --no-refine` does.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from common import described, new_picture, plainly, write_picture
from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.io.image_collection import Stills
from shls.runtime.io.masks import overlay
from shls.runtime.io.sources import open_source
from shls_train.config import RefinerConfig
from shls_train.data.clips import Clip, ClipSize
from shls_train.data.scenes import HELD_OUT, Scenes
from shls_train.pseudo_labels.fusion import find_object
from shls_train.pseudo_labels.masks import PseudoMasks, write_masks

SHIPPED = ("astronaut", "chelsea", "coffee")
LONGER_SIDE = 264
CLIPS, SHOWN = 8, 4
SHRUNK = (256, 144)


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("out", type=new_picture)
    parser.add_argument("--stills", type=Path)
    parser.add_argument("--masks", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stills = Stills(options.stills or write_stills(Path(folder) / "stills"))
        if options.masks is None:
            options.masks = Path(folder) / "masks"
            write_masks(stills, options.masks, find_object, lambda _: None)
        recipe = RefinerConfig()
        scenes = Scenes(stills, PseudoMasks(options.masks), ClipSize(recipe.frames, recipe.height, recipe.width))
        clips = [scenes.draw(np.random.default_rng(seed)) for seed in range(CLIPS)]
    write_picture(options.out, np.vstack([row(clip) for clip in clips]))


def write_stills(folder: Path) -> Path:
    """Pictures that may be shown, as many as `Scenes` needs."""
    folder.mkdir()
    with open_source(str(ASSETS / "bunny.mp4")) as source:
        frames = [frame.image for frame in source][::12]
    own = [getattr(skimage.data, name)() for name in SHIPPED]
    images = [image for at in range(HELD_OUT // 2) for image in (own[at % len(own)], frames[at % len(frames)])]
    for index, image in enumerate(images):
        scale = LONGER_SIDE / max(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{index:03d}.png"), small[..., ::-1])
    return folder


def row(clip: Clip) -> np.ndarray:
    """Some frames of a clip side by side, what is followed marked."""
    at = np.linspace(0, len(clip.frames) - 1, SHOWN).astype(int)
    pictures = [overlay(clip.frames[t], clip.labels[t]) for t in at]
    return np.hstack([cv2.resize(picture, SHRUNK, interpolation=cv2.INTER_AREA) for picture in pictures])


if __name__ == "__main__":
    plainly(main)
