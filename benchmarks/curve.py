"""Picture of a training log: loss and matching accuracy over the steps.

python benchmarks/curve.py docs/train-log.csv docs/loss.png
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from common import described, new_picture, plainly, write_picture
from shls.runtime.errors import BadInput

SIZE = (900, 360)  # width, height
LEFT, RIGHT, TOP, BOTTOM = 60, 60, 30, 40
LOSS, ACCURACY, INK, GRID = (180, 90, 20), (40, 110, 30), (60, 60, 60), (225, 225, 225)  # BGR


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("log", type=Path, help="log.csv of a training of an embedding")
    parser.add_argument("picture", type=new_picture)
    options = parser.parse_args()
    write_picture(options.picture, draw(read_log(options.log))[..., ::-1])


def read_log(path: Path) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(path.read_text().splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as a log ({error})") from error
    if not rows or not {"step", "loss", "accuracy"} <= rows[0].keys():
        raise BadInput(f"{path}: not the log of an embedding; expected columns step, loss and accuracy")
    return rows


def draw(rows: list[dict[str, str]]) -> np.ndarray:
    """Curves of a log, (h, w, 3) uint8 BGR."""
    steps = np.array([int(row["step"]) for row in rows])
    canvas = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    top_loss = float(np.ceil(max(float(row["loss"]) for row in rows)))
    for i in range(6):
        y = round(TOP + (SIZE[1] - TOP - BOTTOM) * (1 - i / 5))
        cv2.line(canvas, (LEFT, y), (SIZE[0] - RIGHT, y), GRID)
        _text(canvas, f"{top_loss * i / 5:.1f}", (18, y + 5), LOSS)
        _text(canvas, f"{20 * i}%", (SIZE[0] - RIGHT + 8, y + 5), ACCURACY)
        _text(
            canvas, str(round(steps[-1] * i / 5)), (round(LEFT - 15 + (SIZE[0] - LEFT - RIGHT) * i / 5), SIZE[1] - 18)
        )
    _curve(canvas, steps, np.array([float(row["loss"]) for row in rows]) / top_loss, LOSS)
    _curve(canvas, steps, np.array([float(row["accuracy"]) for row in rows]), ACCURACY)
    _text(canvas, "InfoNCE loss", (LEFT, 20), LOSS)
    _text(canvas, "matching accuracy, mean of 50 steps", (LEFT + 130, 20), ACCURACY)
    _text(canvas, "step", (SIZE[0] // 2, SIZE[1] - 4))
    return canvas


def _curve(canvas: np.ndarray, steps: np.ndarray, values: np.ndarray, colour: tuple[int, int, int]) -> None:
    window = min(50, len(values))
    smooth = np.convolve(values, np.full(window, 1 / window), "valid")
    x = LEFT + (SIZE[0] - LEFT - RIGHT) * steps[window - 1 :] / steps[-1]
    y = TOP + (SIZE[1] - TOP - BOTTOM) * (1 - smooth)
    cv2.polylines(canvas, [np.stack([x, y], axis=1).round().astype(np.int32)], False, colour, 2, cv2.LINE_AA)


def _text(canvas: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int] = INK) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


if __name__ == "__main__":
    plainly(main)
