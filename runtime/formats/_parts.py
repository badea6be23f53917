"""Parts that several formats share: categories, file names, pictures of the frames, and compact JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import BadInput
from ..io.sources import open_source
from .results import Results

QUALITY = 95
"""JPEG quality of the frames' pictures, percent."""


def categories_of(results: Iterable[Results]) -> dict[str, int]:
    """Number the names of all objects from 1, in order of their first appearance."""
    names = dict.fromkeys(one.name for video in results for one in video.objects.values())
    return {name: at for at, name in enumerate(names, 1)}


def file_name(video: Results) -> str:
    """Return the name of a video as one part of a path."""
    return video.name.replace("/", "_")


def write_json(path: Path, content: Any) -> None:
    """Write compact JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def write_frames(video: Results, source: str, folder: Path) -> None:
    """Write the frames of the results as JPEG files that are named as the results' frames are.

    Raises
    ------
    BadInput
        If the source has another size, or fewer frames.
    """
    wanted = dict(zip(video.indices, video.names, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    with open_source(source) as frames:
        if frames.size != video.size:
            raise BadInput(
                f"{source}: another size than the results (got {frames.size[1]}x{frames.size[0]}, expected "
                f"{video.size[1]}x{video.size[0]}). Give the source of the results"
            )
        for frame in frames:
            if frame.index in wanted:
                content = io.BytesIO()
                Image.fromarray(frame.image).save(content, "JPEG", quality=QUALITY, subsampling=0)
                (folder / f"{wanted.pop(frame.index)}.jpg").write_bytes(content.getvalue())
    if wanted:
        raise BadInput(
            f"{source}: has no frame {min(wanted)} (got fewer frames than the results). Give the source of the results"
        )


def check_names(results: Sequence[Results]) -> None:
    """Raise BadInput if two videos would have one name."""
    known: dict[str, Results] = {}
    for video in results:
        other = known.setdefault(file_name(video), video)
        if other is not video:
            raise BadInput(
                f"{video.path}: the name {file_name(video)} is that of another video (got {other.path}, expected "
                "different names). Rename one of them"
            )
