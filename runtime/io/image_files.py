"""Files that a source's name stands for, in order: of a folder, a printf pattern or a glob; and one image read."""

from __future__ import annotations

import glob
import re
from pathlib import Path

import cv2
import numpy as np

from ..errors import BadInput
from .uris import is_live

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
PRINTF_NUMBER = re.compile(r"%(0\d+)?d")


def source_files(uri: str) -> list[Path]:
    """List the files that a source reads, in order, at least one; raises BadInput where there are none.

    Cameras and streams read no files.
    """
    if is_live(uri):
        return []
    path = Path(uri)
    if path.is_dir():
        files = [entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
        if not files:
            raise BadInput(f"{uri}: the folder has no images; expected files ending in {_suffixes()}")
        return sorted(files, key=lambda file: natural_key(file.name))
    if path.exists():  # before patterns: a file's own name may hold a % or a [
        return [path]
    if PRINTF_NUMBER.search(path.name):
        files = _matching(path)
    elif glob.has_magic(uri):
        files = [Path(file) for file in sorted(glob.glob(uri), key=natural_key)]
        files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    else:
        raise BadInput(f"{uri}: no such file or folder; expected a video, a folder of images, or a pattern of names")
    if not files:
        raise BadInput(f"{uri}: no image has a name of this pattern; expected files ending in {_suffixes()}")
    return files


def read_image(path: Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, upright; raises BadInput if it is missing, truncated or none."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise BadInput(f"{path}: not a readable image, or truncated; replace the file, or remove it from the folder")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Sort key under which `frame2` comes before `frame10`."""
    parts = re.split(r"(\d+)", name)  # text and digits in turn
    return [int(part) if at % 2 else part.lower() for at, part in enumerate(parts)], name


def _matching(pattern: Path) -> list[Path]:
    """List the files that a printf pattern names, by number."""
    number = PRINTF_NUMBER.search(pattern.name)
    if number is None or not pattern.parent.is_dir():
        return []
    before, after = pattern.name[: number.start()], pattern.name[number.end() :]
    shape = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    found = {}
    for entry in pattern.parent.iterdir():
        match = shape.fullmatch(entry.name)
        if match and before + number.group() % int(match.group(1)) + after == entry.name:
            found[int(match.group(1))] = entry
    return [found[at] for at in sorted(found)]


def _suffixes() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))
