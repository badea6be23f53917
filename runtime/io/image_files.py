"""Image files of a source: the files of a folder, a printf pattern or a glob in order, and one image read."""

from __future__ import annotations

import glob
import re
from pathlib import Path

import cv2
import numpy as np

from ..errors import BadInput
from .uris import check_scheme, is_live, is_url, parse_file

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
PRINTF_NUMBER = re.compile(r"%(0\d+)?d")
MASK_ENDING = re.compile(r"[-_. ](masks?|labels?|gt|seg|segmentation)$")


def source_files(uri: str) -> list[Path]:
    """List the files that a source reads, in reading order.

    Parameters
    ----------
    uri : str
        Source as `shls.runtime.io.sources.open_source` takes it. A folder is read in natural order. Hidden files,
        whose names begin with a dot, and files without the suffix of an image are left out.

    Returns
    -------
    list of Path
        At least one file; empty for a camera and a URL.

    Raises
    ------
    BadInput
        If there is no file, the scheme is not supported, or a folder holds images beside their masks.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("10.png", "9.png", ".hidden.png"):
    ...         _ = cv2.imwrite(f"{folder}/{name}", np.zeros((2, 2, 3), np.uint8))
    ...     [file.name for file in source_files(folder)]
    ['9.png', '10.png']
    """
    if is_live(uri) or is_url(uri):
        return []
    name, _ = parse_file(uri)
    try:
        if Path(name).exists() and name:  # before patterns: the name of a file may contain % or [
            return _in_folder(uri, Path(name)) if Path(name).is_dir() else [Path(name)]
        check_scheme(uri)
        return _matching(uri, name)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        problem = getattr(error, "strerror", None) or error
        raise BadInput(f"{uri}: cannot be read ({problem}). Check the name and its permissions") from error


def read_image(path: Path) -> np.ndarray:
    """Read an image file.

    Parameters
    ----------
    path : Path
        File in a format of OpenCV. The EXIF orientation is applied.

    Returns
    -------
    ndarray
        (H, W, 3) uint8 RGB.

    Raises
    ------
    BadInput
        If the file is missing, truncated or not an image.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((2, 3, 3), np.uint8))
    ...     read_image(Path(folder, "a.png")).shape
    (2, 3, 3)
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # a size beyond OpenCV's limit
        image = None
    if image is None:
        raise BadInput(f"{path}: not a readable image, or truncated. Replace the file, or remove it from the folder")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Return a sort key under which `frame2` comes before `frame10`.

    Examples
    --------
    >>> sorted(["frame10", "frame2"], key=natural_key)
    ['frame2', 'frame10']
    """
    parts = re.split(r"(\d+)", name)  # text and digits in turn
    return [int(part) if at % 2 else part.lower() for at, part in enumerate(parts)], name


def is_image(path: Path) -> bool:
    """Return whether a file has the suffix of an image and is not hidden.

    Examples
    --------
    >>> is_image(Path("a.JPG")), is_image(Path("._a.jpg")), is_image(Path("a.txt"))
    (True, False, False)
    """
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _in_folder(uri: str, folder: Path) -> list[Path]:
    files = [entry for entry in folder.iterdir() if is_image(entry) and entry.is_file()]
    if not files:
        raise BadInput(f"{uri}: the folder has no images (expected files ending in {_suffixes()})")
    files.sort(key=lambda file: natural_key(file.name))
    _refuse_masks(uri, files)
    return files


def _matching(uri: str, pattern: str) -> list[Path]:
    """List the images of a printf pattern or a glob."""
    if PRINTF_NUMBER.search(Path(pattern).name):
        files = _numbered(Path(pattern))
    elif glob.has_magic(pattern):
        files = [Path(file) for file in sorted(glob.glob(pattern), key=natural_key)]
        files = [file for file in files if is_image(file)]
    else:
        raise BadInput(f"{uri}: no such file or folder (expected a video, a folder of images, or a pattern of names)")
    if not files:
        raise BadInput(f"{uri}: no image has a name of this pattern (expected files ending in {_suffixes()})")
    _refuse_masks(uri, files)
    return files


def _numbered(pattern: Path) -> list[Path]:
    """List the files of a printf pattern, by number."""
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


def _refuse_masks(uri: str, files: list[Path]) -> None:
    """Raise BadInput if two images share a name, or differ by an ending such as `_mask` only."""
    seen: dict[tuple[Path, str], Path] = {}
    for file in files:
        twin = seen.setdefault((file.parent, file.stem), file)
        if twin is not file:
            raise _two_of_a_frame(uri, twin, file)
    for file in files:
        twin = seen.get((file.parent, MASK_ENDING.sub("", file.stem)), file)
        if twin is not file:
            raise _two_of_a_frame(uri, twin, file)


def _two_of_a_frame(uri: str, one: Path, other: Path) -> BadInput:
    pattern = f", or select the frames with a pattern such as '*{one.suffix}'" if one.suffix != other.suffix else ""
    return BadInput(
        f"{uri}: two images of one frame (got {one.name} and {other.name}, expected one image per frame). "
        f"Move the masks into a folder of their own{pattern}"
    )


def _suffixes() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))
