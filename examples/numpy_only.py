"""Follow a disc that numpy draws: arrays in, arrays out, no file and no camera.

python examples/numpy_only.py
"""

from __future__ import annotations

import argparse

import numpy as np

import shls

HEIGHT, WIDTH, RADIUS = 240, 320, 30


def draw(step: int, texture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame, (H, W, 3) uint8 RGB, and its true mask, (H, W) uint8."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    truth = (columns - 60 - 4 * step) ** 2 + (rows - 120) ** 2 <= RADIUS**2
    image = texture.copy()
    image[truth] = 220, 90, 40
    return image, truth.astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow a drawn disc, and print the overlap with the true mask.")
    parser.add_argument("--frames", type=int, default=20, help="number of frames; default: 20")
    args = parser.parse_args()

    coarse = np.random.default_rng(0).integers(60, 160, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
    texture = coarse.repeat(20, axis=0).repeat(20, axis=1)
    with shls.open_segmenter() as segmenter:
        segmenter.start(*draw(0, texture))
        for step in range(1, args.frames):
            image, truth = draw(step, texture)
            mask = segmenter.step(image)
            found = mask.labels == 1
            overlap = (found & (truth == 1)).sum() / (found | (truth == 1)).sum()
            print(f"frame {step}: IoU {overlap:.3f}, score {mask.scores[1]:.2f}")


if __name__ == "__main__":
    main()
