"""Grammar of source names: files, folders, patterns of names, cameras, live streams and recordings by URL.

==============================  ================================================================================
name                            source
==============================  ================================================================================
`clip.mp4`, `file:///a/b.mp4`   video file; `clip.mp4#stream=1` selects the video stream with index 1
`frames`, `f_%05d.png`, `*.png` images
`0`, `/dev/video0`              camera of Linux (V4L2); also `v4l2:///dev/video0`
`csi://0`                       camera of a Jetson
`rtsp://user:password@host/a`   live stream; also rtsps, rtmp, rtmps, srt, udp, tcp
`http://host/a`                 recording (mp4 file, finished HLS playlist) or live stream (MJPEG); also https
==============================  ================================================================================

Options of a local camera follow a question mark: `/dev/video0?width=1280&height=720&fps=30&codec=mjpg&flip=180`.
The question mark of a URL belongs to its server. Options of a URL follow a number sign and stay on this machine:
`rtsp://host/path#width=640&height=360&fps=10&flip=180&transport=udp&stream=0`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from ..errors import BadInput

LIVE_STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "tcp")
"""Schemes of streams that are always live."""
WEB = ("http", "https")
"""Schemes of recordings and of live streams; the answer of the server decides."""
STREAMS = LIVE_STREAMS + WEB
CAMERAS = ("v4l2", "csi")
SCHEMES = ("file", *STREAMS, *CAMERAS)
FLIPS = ("none", "180", "horizontal", "vertical")
TRANSPORTS = ("tcp", "udp")
"""Transports of RTSP. TCP is the default: TCP passes firewalls and loses no packets."""


class CameraUri(NamedTuple):
    """Local camera with its options.

    Attributes
    ----------
    kind : str
        `v4l2` or `csi`.
    device : str
        Device file such as `/dev/video0`, or the number of a CSI sensor.
    width, height, fps : int
        Requested mode, pixels and frames per second; 0 leaves the choice to the camera.
    codec : str
        Four letters such as `mjpg`; empty leaves the choice to the camera.
    flip : str
        One of `FLIPS`.

    Examples
    --------
    >>> CameraUri("csi", "0", width=1280, height=720).fps
    0
    """

    kind: str
    device: str
    width: int = 0
    height: int = 0
    fps: int = 0
    codec: str = ""
    flip: str = "none"


class StreamUri(NamedTuple):
    """Stream or recording by URL with its options; the server chooses the codec.

    Attributes
    ----------
    address : str
        URL that is requested, with user and password.
    width, height : int
        Size to which a live stream is scaled, pixels; 0 keeps its size.
    fps : int
        Maximum frame rate of a live stream; 0 takes every frame.
    flip : str
        One of `FLIPS`, for live streams.
    transport : str
        One of `TRANSPORTS`, for RTSP.
    stream : int
        Index of the video stream; -1 selects FFmpeg's best stream.

    Examples
    --------
    >>> StreamUri("rtsp://host/a").transport
    'tcp'
    """

    address: str
    width: int = 0
    height: int = 0
    fps: int = 0
    flip: str = "none"
    transport: str = "tcp"
    stream: int = -1


def is_live(uri: str) -> bool:
    """Return whether a name is certain to be a camera or a live stream.

    `http://` and `https://` are not: only the answer of the server decides. An open source has the attribute `live`.
    A file or folder that is called `0` is not a camera.

    Examples
    --------
    >>> is_live("rtsp://host/a"), is_live("/dev/video0"), is_live("http://host/a.mp4"), is_live("clip.mp4")
    (True, True, False, False)
    """
    if scheme_of(uri) in LIVE_STREAMS + CAMERAS:
        return True
    camera = re.fullmatch(r"(/dev/video\d+|\d+)(\?\w+=.*)?", uri)
    return bool(camera) and not os.path.isfile(uri) and not os.path.isdir(uri)  # no OSError


def is_url(uri: str) -> bool:
    """Return whether a name has the scheme of a network stream.

    Examples
    --------
    >>> is_url("https://host/a.mp4"), is_url("file:///a.mp4")
    (True, False)
    """
    return scheme_of(uri) in STREAMS


def scheme_of(uri: str) -> str:
    """Return the text before `://` in lower case, or an empty string.

    Examples
    --------
    >>> scheme_of("RTSP://host/a"), scheme_of("cam:1.mp4")
    ('rtsp', '')
    """
    scheme, found, _ = uri.partition("://")
    return scheme.lower() if found else ""


def check_scheme(uri: str) -> None:
    """Raise BadInput if a name is empty or has a scheme that is not supported.

    Examples
    --------
    >>> check_scheme("gopher://host/a")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    shls.runtime.errors.BadInput: gopher://host/a: scheme not supported (got gopher, expected one of file, ...
    """
    if not uri.strip():
        raise BadInput(
            "source: the name is empty (expected a file, a folder, a camera or a URL). Use . for this folder"
        )
    scheme = scheme_of(uri)
    if re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) and scheme not in SCHEMES:
        raise BadInput(
            f"{uri}: scheme not supported (got {scheme}, expected one of {', '.join(SCHEMES)}). "
            "Use a supported scheme, or copy the video to a file"
        )


def redact(uri: str) -> str:
    """Remove user, password and query from a URL, for messages; other names stay as they are.

    Examples
    --------
    >>> redact("rtsp://me:secret@host/a?key=1")
    'rtsp://...@host/a?...'
    """
    if not is_url(uri):
        return uri
    return re.sub(r"\?.*", "?...", re.sub(r"(?<=://).*@", "...@", uri, flags=re.DOTALL), flags=re.DOTALL)


def parse_file(uri: str) -> tuple[str, int]:
    """Split the name of a file into its path and the index of its video stream.

    Parameters
    ----------
    uri : str
        Path or pattern, also as `file://` URL, optionally followed by `#stream=N`. The whole name is the path
        if a file of this name exists.

    Returns
    -------
    path : str
    stream : int
        Index of the video stream; -1 selects FFmpeg's best stream.

    Raises
    ------
    BadInput
        If the URL names another machine, or the option has a bad value.

    Examples
    --------
    >>> parse_file("clip.mp4#stream=1")
    ('clip.mp4', 1)
    >>> parse_file("file:///videos/a%20b.mp4")
    ('/videos/a b.mp4', -1)
    """
    path, found, value = uri.rpartition("#stream=")
    if not found or _exists(uri):
        path, value = uri, "-1"
    elif not re.fullmatch("[0-9]{1,6}", value):
        raise BadInput(f"{uri}: bad index of a video stream (got {value!r}, expected a whole number, 0 or more)")
    if scheme_of(path) == "file":
        host, slash, rest = path[len("file://") :].partition("/")
        if host not in ("", "localhost"):
            raise BadInput(f"{uri}: the URL names another machine (got {host}). Use file:///PATH for a file here")
        path = unquote(slash + rest)
    return path, int(value)


def parse_camera(uri: str) -> CameraUri:
    """Parse the name and the options of a local camera.

    Raises
    ------
    BadInput
        If the name or an option does not follow the grammar.

    Examples
    --------
    >>> parse_camera("0?width=640&fps=5")
    CameraUri(kind='v4l2', device='/dev/video0', width=640, height=0, fps=5, codec='', flip='none')
    """
    scheme = scheme_of(uri)
    name, _, query = uri.removeprefix(f"{scheme}://").partition("?")
    kind = scheme or "v4l2"
    if kind == "v4l2" and name.isdigit():
        name = f"/dev/video{name}"
    pattern, example = (r"\d+", "csi://0") if kind == "csi" else (r"/dev/.+", "v4l2:///dev/video0")
    if not re.fullmatch(pattern, name):
        raise BadInput(f"{uri}: not the name of a camera (expected one such as {example})")
    options = _options(uri, query, CameraUri._fields[2:])
    if len(options.get("codec", "mjpg")) != 4:
        raise BadInput(f"{uri}: bad codec (got {options['codec']!r}, expected four letters, such as mjpg)")
    return CameraUri(kind, name, **options)


def parse_stream(uri: str) -> StreamUri:
    """Parse a URL and its options.

    Raises
    ------
    BadInput
        If an option does not follow the grammar. The message does not show the password.

    Examples
    --------
    >>> parse_stream("rtsp://host/a#width=640&height=360").width
    640
    """
    address, _, query = uri.rpartition("#")
    if not address or re.search("[@/]", query):  # the number sign belongs to a password or a path
        return StreamUri(uri)
    shown = redact(uri)
    options = _options(shown, query, StreamUri._fields[1:])
    if options.get("transport", TRANSPORTS[0]) not in TRANSPORTS:
        raise BadInput(f"{shown}: bad transport (got {options['transport']!r}, expected {', '.join(TRANSPORTS)})")
    if ("width" in options) != ("height" in options):
        raise BadInput(
            f"{shown}: only one of width and height is given (expected both). Frames are scaled to this size"
        )
    return StreamUri(address, **options)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a name that is too long
        return False


def _options(shown: str, query: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Parse `key=value&...`; numbers become int."""
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - set(known):
        raise BadInput(f"{shown}: unknown option (got {min(unknown)}, expected some of {', '.join(known)})")
    for key, pattern, least in (
        ("width", "[1-9][0-9]*", "above 0"),
        ("height", "[1-9][0-9]*", "above 0"),
        ("fps", "[1-9][0-9]*", "above 0"),
        ("stream", "[0-9]+", "0 or more"),
    ):
        if key not in options:
            continue
        if not re.fullmatch(pattern, options[key]) or len(options[key]) > 6:
            raise BadInput(f"{shown}: bad {key} (got {options[key]!r}, expected a whole number, {least})")
        options[key] = int(options[key])
    if options.get("flip", "none") not in FLIPS:
        raise BadInput(f"{shown}: bad flip (got {options['flip']!r}, expected {', '.join(FLIPS)})")
    return options
