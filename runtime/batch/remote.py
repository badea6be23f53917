"""Videos in object storage, read through fsspec where it is installed."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._support.extras import install_hint
from ..errors import BadInput, MissingDependency

SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*(::|://)", re.I)
STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "tcp", "csi", "v4l2", "file")
"""Schemes that `open_source` reads itself, or that are live."""


def is_remote(video: str) -> bool:
    """Return whether a video is read through fsspec.

    Examples
    --------
    >>> is_remote("s3://bucket/a.mp4"), is_remote("zip://a.mp4::clips.zip"), is_remote("a.mp4")
    (True, True, False)
    """
    match = SCHEME.match(video)
    return match is not None and re.split("::|://", video)[0].lower() not in STREAMS


def remote_state(video: str) -> dict[str, Any]:
    """Return values that change when a remote video changes: fsspec's `ukey`, a digest of size, time and ETag.

    Raises
    ------
    BadInput
        If there is no such file.

    Examples
    --------
    >>> remote_state("s3://bucket/a.mp4")  # doctest: +SKIP
    {'ukey': '5d41402abc4b2a76b9719d911017c592'}
    """
    system, path = _open(video)
    try:
        return {"ukey": str(system.ukey(path))}
    except OSError as error:
        raise _unreadable(video, error) from error
    except Exception as error:  # each file system has errors of its own
        raise _unreadable(video, error) from error


def list_remote(pattern: str) -> list[str]:
    """List the remote files of a glob pattern, as URLs, by name.

    Examples
    --------
    >>> list_remote("s3://bucket/night/*.mp4")  # doctest: +SKIP
    ['s3://bucket/night/a.mp4']
    """
    system, path = _open(pattern)
    head, chain, tail = pattern.partition("::")
    scheme = head.partition("://")[0]
    try:
        found = sorted(system.glob(path))
    except Exception as error:
        raise _unreadable(pattern, error) from error
    return [f"{scheme}://{str(one).lstrip('/')}{chain}{tail}" for one in found]


@contextmanager
def local_copy(video: str) -> Iterator[str]:
    """Yield a name that `open_source` can read; a remote video is copied to a temporary file meanwhile.

    Examples
    --------
    >>> with local_copy("a.mp4") as name:
    ...     name
    'a.mp4'
    """
    if not is_remote(video):
        yield video
        return
    system, path = _open(video)
    with tempfile.TemporaryDirectory(prefix="shls-") as folder:
        copy = Path(folder) / Path(path).name
        try:
            system.get_file(path, str(copy))
        except Exception as error:
            raise _unreadable(video, error) from error
        yield str(copy)


def _open(url: str) -> tuple[Any, str]:
    """Open the file system of a URL."""
    try:
        core = importlib.import_module("fsspec.core")
        system, path = core.url_to_fs(url)
    except ImportError as error:
        absent = (error.name or "").partition(".")[0] == "fsspec"  # else fsspec names the package that is missing
        hint = install_hint("remote") if absent else "Install the package of this file system"
        raise MissingDependency(f"{url}: cannot be opened ({error}). {hint}") from error
    except Exception as error:
        raise _unreadable(url, error) from error
    return system, str(path)


def _unreadable(url: str, error: Exception) -> BadInput:
    text = str(getattr(error, "strerror", None) or error).splitlines()
    problem = text[0] if text else type(error).__name__
    return BadInput(f"{url}: cannot be read ({problem}). Check the URL and the credentials")
