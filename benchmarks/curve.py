"""Picture of a training log over the steps, averaged over 50 steps.

    python benchmarks/curve.py docs/train-log.csv docs/loss.png
    python benchmarks/curve.py docs/refiner-log.csv docs/refiner-loss.png

Of an embedding loss and matching accuracy, of a refiner its loss and that of what comes into it.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from common import described, new_picture, plainly, write_picture
from shls.runtime.errors import BadInput

SIZE = (900, 360)  # width, height
WINDOW = 50  # steps
LEFT, RIGHT, TOP, BOTTOM = 60, 60, 30, 40
LOSS, OTHER, INK, GRID = (180, 90, 20), (40, 110, 30), (60, 60, 60), (225, 225, 225)  # BGR


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("log", type=Path, help="log.csv of a training")
    parser.add_argument("picture", type=new_picture)
    options = parser.parse_args()
    write_picture(options.picture, draw(read_log(options.log))[..., ::-1])


def read_log(path: Path) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(path.read_text().splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as a log ({error})") from error
    if not rows or not {"step", "loss"} <= rows[0].keys() or not {"accuracy", "unrefined"} & rows[0].keys():
        raise BadInput(f"{path}: not the log of a training; expected columns step, loss and accuracy, or unrefined")
    return rows


def draw(rows: list[dict[str, str]]) -> np.ndarray:
    """Curves of a log, (h, w, 3) uint8 BGR."""
    steps = np.array([int(row["step"]) for row in rows])
    canvas = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    embedding = "accuracy" in rows[0]
    loss, other = (np.array([float(row[name]) for row in rows]) for name in _columns(embedding))
    top_loss = float(np.ceil(loss.max()))
    for i in range(6):
        y = round(TOP + (SIZE[1] - TOP - BOTTOM) * (1 - i / 5))
        cv2.line(canvas, (LEFT, y), (SIZE[0] - RIGHT, y), GRID)
        _text(canvas, f"{top_loss * i / 5:.1f}", (18, y + 5), LOSS)
        if embedding:
            _text(canvas, f"{20 * i}%", (SIZE[0] - RIGHT + 8, y + 5), OTHER)
        x = round(LEFT - 15 + (SIZE[0] - LEFT - RIGHT) * i / 5)
        _text(canvas, str(round(steps[-1] * i / 5)), (x, SIZE[1] - 18))
    _curve(canvas, steps, loss / top_loss, LOSS)
    _curve(canvas, steps, other if embedding else other / top_loss, OTHER)
    _text(canvas, "loss" if embedding else "refined", (LEFT, 20), LOSS)
    of_other = "matching accuracy" if embedding else "loss of what comes in"
    _text(canvas, f"{of_other}, mean of {WINDOW} steps", (LEFT + 130, 20), OTHER)
    _text(canvas, "step", (SIZE[0] // 2, SIZE[1] - 4))
    return canvas


def _columns(embedding: bool) -> tuple[str, str]:
    return "loss", "accuracy" if embedding else "unrefined"


def _curve(canvas: np.ndarray, steps: np.ndarray, values: np.ndarray, colour: tuple[int, int, int]) -> None:
    window = min(WINDOW, len(values))
    smooth = np.convolve(values, np.full(window, 1 / window), "valid")
    x = LEFT + (SIZE[0] - LEFT - RIGHT) * steps[window - 1 :] / steps[-1]
    y = TOP + (SIZE[1] - TOP - BOTTOM) * (1 - smooth)
    cv2.polylines(canvas, [np.stack([x, y], axis=1).round().astype(np.int32)], False, colour, 2, cv2.LINE_AA)


def _text(canvas: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int] = INK) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


if __name__ == "__main__":
    plainly(main)
