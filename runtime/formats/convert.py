"""Conversion of results to the formats of other tools."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import BadInput
from ._parts import check_names, file_name, write_frames
from .coco import write_coco, write_youtube_vis
from .cvat import write_cvat
from .label_studio import write_label_studio
from .labelme import write_labelme
from .mask_folders import write_davis, write_mots, write_youtube_vos
from .results import Results
from .yolo import write_yolo


class Format(NamedTuple):
    """Format of annotations.

    write : writes results into a new folder
    images : folder of a video's images in this layout, `{video}` for its name; None if the format has none

    Examples
    --------
    >>> FORMATS["coco"].images
    '{video}'
    """

    write: Callable[[Sequence[Results], Path], None]
    images: str | None


FORMATS = {
    "coco": Format(write_coco, "{video}"),
    "youtube-vis": Format(write_youtube_vis, "{video}"),
    "yolo": Format(write_yolo, "images/train"),
    "davis": Format(write_davis, "JPEGImages/480p/{video}"),
    "youtube-vos": Format(write_youtube_vos, "JPEGImages/{video}"),
    "mots": Format(write_mots, None),
    "labelme": Format(write_labelme, "{video}"),
    "cvat": Format(write_cvat, None),
    "label-studio": Format(write_label_studio, "{video}"),
}
"""Formats by name."""


def convert(results: Sequence[Results], to: str, out: Path, sources: Sequence[str] = ()) -> None:
    """Write results in another format, into a new folder that appears whole or not at all.

    Parameters
    ----------
    results : videos
    to : name of a format, a key of `FORMATS`
    out : folder to make; an empty folder is replaced
    sources : source of each video, whose frames are written as images beside the annotations; empty for no images

    Raises
    ------
    BadInput
        If the format is unknown, the folder exists, two videos have one name, a source does not fit, or nothing can be
        written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from ..io.masks import write_mask
    >>> from .results import read_results
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask(Path(folder) / "m" / "00000.png", np.array([[0, 2]], np.uint8))  # doctest: +SKIP
    ...     convert([read_results(Path(folder) / "m")], "mots", Path(folder) / "mots")  # doctest: +SKIP
    """
    if to not in FORMATS:
        raise BadInput(f"{to}: unknown format (expected one of {', '.join(FORMATS)}). Correct the name")
    if sources and len(sources) != len(results):
        raise BadInput(f"sources: wrong number (got {len(sources)} for {len(results)} videos). Give one per video")
    check_names(results)
    check_new(out)
    work = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        FORMATS[to].write(results, work)
        for video, source in zip(results, sources, strict=False):
            _write_images(FORMATS[to], video, source, work)
        if out.exists():
            out.rmdir()
        os.rename(work, out)
    except OSError as error:
        raise BadInput(
            f"{out}: cannot be written ({error.strerror or error}). Free space, or choose another place"
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(work, ignore_errors=True)


def check_new(out: Path) -> None:
    """Raise BadInput if a folder exists that is not empty, or a file.

    Examples
    --------
    >>> check_new(Path("no-such-folder"))
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: exists (expected a new folder). Choose another name, or delete it")


def _write_images(format_: Format, video: Results, source: str, work: Path) -> None:
    if format_.images is None:
        return
    folder = work / format_.images.format(video=file_name(video))
    if "{video}" in format_.images:
        write_frames(video, source, folder)
        return
    own = work / ".frames"  # one folder for all videos: the files get the name of the video in front
    write_frames(video, source, own)
    for file in own.iterdir():
        os.rename(file, folder / f"{file_name(video)}_{file.name}")
    own.rmdir()
