"""Content keys: what a result depends on, as a digest. A result whose key is unchanged is not computed again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from shls import __version__

from .._support.files import sha256_of
from ..errors import BadInput
from ..io.image_files import source_files
from ..io.masks import split_choice
from .marks import Marks
from .remote import is_remote, remote_state
from .tasks import Outcome, Row, Wanted

BLOCK = 1 << 20
"""Bytes that are read at once."""


def fingerprint(model: Path, refiner: Path | None, device: str, wanted: Wanted) -> dict[str, Any]:
    """Return what all results of a batch have in common: version, digests of the networks, and settings.

    Parameters
    ----------
    model : file of the embedding network
    refiner : file of the refiner network; None for none
    device : device of the networks
    wanted : outputs

    Raises
    ------
    BadInput
        If a file cannot be read.

    Examples
    --------
    >>> from ..backends.pretrained import SHIPPED_MODEL
    >>> fingerprint(SHIPPED_MODEL, None, "cpu", Wanted())["refiner"] is None
    True
    """
    outputs = [name for name in ("masks", "overlay", "cutout", "mask_video") if getattr(wanted, name)]
    return {
        "version": __version__,
        "model": sha256_of(model),
        "refiner": None if refiner is None else sha256_of(refiner),
        "device": device,
        "every": wanted.every,
        "outputs": ["json", *outputs, *wanted.exports],
    }


def task_key(row: Row, common: dict[str, Any], known: Outcome | None = None) -> tuple[str, dict[str, Any]]:
    """Compute the content key of a row.

    The key covers the content of the video, the marks and their files, and `common`. The video is not read again if
    an earlier result has recorded its digest, and the files' sizes and times of change are as recorded.

    Parameters
    ----------
    row : video and marks
    common : see `fingerprint`
    known : record of an earlier result of this output

    Returns
    -------
    key : 64 hexadecimal digits
    source : state and digest of the video, to be recorded with the result

    Raises
    ------
    BadInput
        If the video or a file of the marks is missing.

    Examples
    --------
    >>> import os
    >>> from ..backends.pretrained import ASSETS
    >>> row = Row("", str(ASSETS / "bunny.mp4"), "bunny", mask=ASSETS / "bunny_mask.png")
    >>> key, source = task_key(row, {})
    >>> len(key), source["files"]
    (64, 1)
    """
    source = _source_state(row.video)
    earlier = known.source if known is not None else {}
    if "ukey" not in source:
        same = {key: earlier.get(key) for key in source} == source and "sha256" in earlier
        source = source | {"sha256": earlier["sha256"] if same else _digest_of(source_files(row.video))}
    content = source.get("sha256") or source["ukey"]
    values = {"video": content, "marks": _marks_state(row), "start": row.start, "common": common}
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), source


def check_inputs(row: Row) -> None:
    """Raise BadInput if the video or a file of the marks is missing; the video is not read.

    Examples
    --------
    >>> check_inputs(Row("line 1", "none.mp4", "none"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: none.mp4: no such file or folder (expected ...)
    """
    _source_state(row.video)
    _marks_state(row)


def size_of(video: str) -> dict[str, Any]:
    """Return the size of a local video in bytes, by which the remaining time is estimated.

    Examples
    --------
    >>> import os
    >>> size_of(os.devnull)
    {'bytes': 0}
    """
    return {} if is_remote(video) else {"bytes": sum(file.stat().st_size for file in source_files(video))}


def _source_state(video: str) -> dict[str, Any]:
    """Return number, sizes and times of the files of a video, without reading them."""
    if is_remote(video):
        return remote_state(video)
    files = source_files(video)
    if not files:
        raise BadInput(f"{video}: is live (expected a recording). Use `shls run` for cameras and streams")
    digest, size = hashlib.sha256(), 0
    for file in files:
        state = file.stat()
        size += state.st_size
        digest.update(f"{file.resolve()} {state.st_size} {state.st_mtime_ns}\n".encode())
    return {"files": len(files), "bytes": size, "state": digest.hexdigest()}


def _digest_of(files: list[Path]) -> str:
    """Digest the content of files; the names count only where there are several."""
    digest = hashlib.sha256()
    for path in files:
        if len(files) > 1:
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        try:
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror}). Check its permissions") from error
    return digest.hexdigest()


def _marks_state(row: Row) -> list[Any]:
    """Return the marks as JSON values, with the digests of their files."""
    marks = Marks(row)
    files = []
    for path in marks.files:
        file, choice = split_choice(path)
        pictures = sorted(one for one in file.iterdir() if one.is_file()) if file.is_dir() else [file]
        if not pictures or not file.exists():
            raise BadInput(f"{row.where}: {file}: no such file (expected the marks of {row.video}). Correct the name")
        files.append([choice, _digest_of(pictures)])
    prompts = [[one.name, one.boxes, one.points, one.negative_points] for one in row.prompts]
    return [row.mask is not None, prompts, files]
