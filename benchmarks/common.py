"""Shared parts of the benchmarks: options, pictures and error messages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from shls.runtime._support.files import check_writable, replace_file
from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.errors import BadInput, ShlsError
from shls.runtime.io.masks import read_mask
from shls.runtime.io.sources import open_source
from shls.runtime.models.contract import Contract

JPEG_QUALITY = 85
RIGHT, MISSED, WRONG = (60, 200, 60), (60, 110, 255), (240, 50, 50)
STRENGTH = 0.55  # of these colours


def with_settings(contract: Contract, **stages: dict[str, Any]) -> Contract:
    """Copy a contract with some settings replaced, given by stage."""
    changed = {name: replace(getattr(contract.settings, name), **values) for name, values in stages.items()}
    return replace(contract, settings=replace(contract.settings, **changed))


def plainly(main: Callable[[], None]) -> None:
    """Run a benchmark; a user's error becomes one line and exit code 2, as in `shls`."""
    try:
        main()
    except ShlsError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(2)


def described(text: str | None) -> argparse.ArgumentParser:
    """Create a parser whose help begins with the docstring of a benchmark."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def at_least(least: int) -> Callable[[str], int]:
    """Create an option type: a whole number of at least `least`."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} came; expected a whole number from {least} on")
        return int(text)

    return number


def above_zero(text: str) -> float:
    """Parse an option: a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} came; expected a number above 0")
    return number


def new_file(text: str) -> Path:
    """Parse an option: a path that can be written, checked before the work."""
    path = Path(text)
    check_writable(path)
    return path


def new_picture(text: str) -> Path:
    """Parse an option: a path like `new_file`, of a picture format that OpenCV writes."""
    path = new_file(text)
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise BadInput(f"{path}: not the name of a picture; expected .jpg or .png")
    return path


def add_clip(parser: argparse.ArgumentParser) -> None:
    """Add options for a clip and its first mask."""
    parser.add_argument("--source", default=str(ASSETS / "bunny.mp4"), help="the shipped clip by default")
    parser.add_argument("--mask", type=Path, default=ASSETS / "bunny_mask.png", help="of its first frame")


def read_clip(options: argparse.Namespace, most: int | None = None) -> tuple[list[np.ndarray], np.ndarray]:
    """Read at least two frames of a clip, (H, W, 3) uint8 RGB, and the first mask, (H, W) uint8."""
    with open_source(options.source) as frames:
        images = [frame.image for frame in islice(frames, most)]
    if len(images) < 2:
        raise BadInput(f"{options.source}: one frame; expected a clip of two or more")
    return images, read_mask(options.mask, (images[0].shape[0], images[0].shape[1]))


def judged_picture(image: np.ndarray, found: np.ndarray, truth: np.ndarray, text: str, width: int) -> np.ndarray:
    """Draw what is right (green), missed (blue) and wrong (red) of a mask, and a text in the corner.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    found, truth : (H, W), objects' ids, 0 for the background
    width : of the picture, pixels; its shape is the image's
    """
    blend = image.astype(np.float32)
    for where, colour in (
        ((found == truth) & (truth > 0), RIGHT),
        ((found == 0) & (truth > 0), MISSED),
        ((found > 0) & (found != truth), WRONG),
    ):
        blend[where] += STRENGTH * (np.array(colour, np.float32) - blend[where])
    size = width, round(width * image.shape[0] / image.shape[1])
    drawn = np.ascontiguousarray(cv2.resize(blend, size, interpolation=cv2.INTER_AREA).astype(np.uint8))
    font = cv2.FONT_HERSHEY_SIMPLEX
    (long, high), below = cv2.getTextSize(text, font, 0.5, 1)
    cv2.rectangle(drawn, (0, 0), (long + 8, high + below + 8), (0, 0, 0), cv2.FILLED)
    cv2.putText(drawn, text, (4, high + 4), font, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return drawn


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB, whole."""
    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    replace_file(path, cv2.imencode(path.suffix, picture[..., ::-1], options)[1].tobytes())
