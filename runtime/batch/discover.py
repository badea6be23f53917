"""Videos of a folder or a pattern, and the marks that lie beside a video."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from ..errors import BadInput
from ..io.image_files import is_image, natural_key
from .marks import is_prompt_file
from .remote import is_remote, list_remote

VIDEOS = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv"}
    | {".ts", ".webm", ".wmv"}
)
"""Suffixes by which videos in a folder are known."""
BESIDE = (".json", ".jsonl", ".png", ".mask.png", "_mask.png", "-mask.png")
"""Endings of a file of marks, after the name of its video without suffix."""


def expand(name: str) -> list[tuple[str, Path | None]]:
    """List the videos that a name stands for.

    Parameters
    ----------
    name : folder, glob pattern, pattern of a file system of fsspec, or a video

    Returns
    -------
    list of (video, root)
        In natural order. `root` is the folder that outputs are named relative to; None outside a folder.

    Raises
    ------
    BadInput
        If a folder or a pattern has no videos.

    Examples
    --------
    >>> expand("a.mp4")
    [('a.mp4', None)]
    """
    path = Path(name)
    if is_remote(name):
        found = list_remote(name) if any(one in name for one in "*?[") else [name]
        return [(one, None) for one in _at_least_one(name, found)]
    if path.is_dir():
        return [(str(one), path) for one in _at_least_one(name, _in_folder(path))]
    if not path.exists() and glob.has_magic(name):
        found = sorted(glob.glob(name, recursive=True), key=natural_key)
        videos = [one for one in found if Path(one).suffix.lower() in VIDEOS or _is_clip(Path(one))]
        return [(one, _fixed_part(name)) for one in _at_least_one(name, videos)]
    return [(name, None)]


def output_of(video: str, root: Path | None) -> str:
    """Return the name of a video's results: its name without suffix, with its folders below `root`.

    Examples
    --------
    >>> output_of("clips/night/a.mp4", Path("clips")), output_of("clips/night/a.mp4", None)
    ('night/a', 'a')
    """
    if is_remote(video):
        return Path(video.partition("::")[0].partition("://")[2]).stem
    path = Path(video)
    stem = path.name if os.path.isdir(path) else path.stem  # false for a name that is too long
    parent = path.parent.relative_to(root) if root is not None else Path()
    return (parent / (stem.lstrip(".") or "video")).as_posix()


def find_marks(video: str) -> tuple[Path | None, Path | None] | None:
    """Return the mask and the prompt file beside a video; None if there is neither.

    Beside `clip.mp4` these names are tried in this order: `clip.json`, `clip.jsonl`, `clip.png`, `clip.mask.png`,
    `clip_mask.png`, `clip-mask.png`. A JSON file has prompts by frame, COCO or labelme annotations, or results.

    Examples
    --------
    >>> from ..backends.pretrained import ASSETS
    >>> mask, prompts = find_marks(str(ASSETS / "bunny.mp4"))
    >>> mask.name, prompts
    ('bunny_mask.png', None)
    """
    if is_remote(video):
        return None
    path = Path(video)
    stem = path if path.is_dir() else path.with_suffix("")
    for ending in BESIDE:
        file = stem.with_name(stem.name + ending)
        if file.is_file() and file != path:
            return (None, file) if ending == ".json" and is_prompt_file(file) else (file, None)
    return None


def _in_folder(folder: Path) -> list[str]:
    """List the videos of a folder and below, and the sub-folders of images that have marks beside them."""
    found = [path for path in folder.rglob("*") if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    videos = [path for path in found if (path.suffix.lower() in VIDEOS and path.is_file()) or _is_clip(path)]
    return [str(path) for path in sorted(videos, key=lambda path: natural_key(str(path)))]


def _is_clip(path: Path) -> bool:
    """Return whether a folder holds the frames of a video: images, and marks beside the folder."""
    return path.is_dir() and find_marks(str(path)) is not None and any(is_image(one) for one in path.iterdir())


def _fixed_part(pattern: str) -> Path:
    """Return the folders of a pattern before its first wildcard."""
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _at_least_one(name: str, found: list[str]) -> list[str]:
    if not found:
        raise BadInput(
            f"{name}: no videos (expected files such as .mp4 or .mkv, or folders of images with a mask beside them). "
            "Correct the name"
        )
    return found
