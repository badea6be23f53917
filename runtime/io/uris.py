"""The grammar of what a source may be called.

A file, a folder, a pattern of names; or, live: `0` or `/dev/video0` or `v4l2:///dev/video0`, `csi://0`,
`rtsp://user:password@host/path`, `http://host/path`. Local cameras take options after a question mark, as in
`/dev/video0?width=1280&height=720&fps=30&codec=mjpg&flip=180`. A stream's question mark is its server's, so its options
follow a number sign, which never leaves this machine: `rtsp://host/path#width=640&height=360&fps=10&flip=180`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from ..errors import BadInput

STREAMS = ("rtsp", "rtsps", "http", "https")
CAMERAS = ("v4l2", "csi")
FLIPS = ("none", "180", "horizontal", "vertical")
TRANSPORTS = ("tcp", "udp")
"""TCP is the first: it passes firewalls, and loses no packets."""


class CameraUri(NamedTuple):
    """A local camera.

    kind : v4l2 or csi
    device : `/dev/video0`, or a CSI sensor's number
    width, height, fps : as asked for, 0 where the camera may choose
    codec : four letters such as mjpg, or nothing
    flip : one of `FLIPS`
    """

    kind: str
    device: str
    width: int = 0
    height: int = 0
    fps: int = 0
    codec: str = ""
    flip: str = "none"


class StreamUri(NamedTuple):
    """A stream; its server chooses the codec.

    address : what the server is asked for, with user and password
    width, height : to which pictures are scaled, 0 where they stay as they are
    fps : at most so many pictures are taken a second, 0 for all
    flip : one of `FLIPS`
    transport : how RTSP sends its packets, one of `TRANSPORTS`
    """

    address: str
    width: int = 0
    height: int = 0
    fps: int = 0
    flip: str = "none"
    transport: str = "tcp"


def is_live(uri: str) -> bool:
    """Tell cameras and streams from what lies on the disk; a file that is called `0` is a file."""
    if scheme_of(uri) in STREAMS + CAMERAS:
        return True
    camera = re.fullmatch(r"(/dev/video\d+|\d+)(\?\w+=.*)?", uri)
    return bool(camera) and not Path(uri).is_file() and not Path(uri).is_dir()


def scheme_of(uri: str) -> str:
    """Give what stands before `://`, in lower case; nothing where there is none."""
    scheme, found, _ = uri.partition("://")
    return scheme.lower() if found else ""


def redact(uri: str) -> str:
    """Take user, password and the query, where keys may be, out of a stream's name: for messages."""
    if scheme_of(uri) not in STREAMS:
        return uri
    return re.sub(r"\?.*", "?...", re.sub(r"(?<=://).*@", "...@", uri, flags=re.DOTALL), flags=re.DOTALL)


def parse_camera(uri: str) -> CameraUri:
    """Read a local camera's name and options; raises BadInput where they are not of the grammar."""
    scheme = scheme_of(uri)
    name, _, query = uri.removeprefix(f"{scheme}://").partition("?")
    kind = scheme or "v4l2"
    if kind == "v4l2" and name.isdigit():
        name = f"/dev/video{name}"
    pattern, example = (r"\d+", "csi://0") if kind == "csi" else (r"/dev/.+", "v4l2:///dev/video0")
    if not re.fullmatch(pattern, name):
        raise BadInput(f"{uri}: not the name of a camera; expected one such as {example}")
    options = _options(uri, query, CameraUri._fields[2:])
    if len(options.get("codec", "mjpg")) != 4:
        raise BadInput(f"{uri}: codec is {options['codec']!r}; expected four letters, such as mjpg")
    return CameraUri(kind, name, **options)


def parse_stream(uri: str) -> StreamUri:
    """Read a stream's name and options; raises BadInput, without the password, where they are not of the grammar."""
    address, _, query = uri.rpartition("#")
    if not address or re.search("[@/]", query):  # then it was part of a password or of a path
        return StreamUri(uri)
    options = _options(redact(uri), query, StreamUri._fields[1:])
    if options.get("transport", TRANSPORTS[0]) not in TRANSPORTS:
        raise BadInput(f"{redact(uri)}: transport is {options['transport']!r}; expected {', '.join(TRANSPORTS)}")
    if ("width" in options) != ("height" in options):
        raise BadInput(f"{redact(uri)}: only one of width and height; expected both, for pictures are scaled to them")
    return StreamUri(address, **options)


def _options(shown: str, query: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Read `key=value&...`; numbers become numbers."""
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - set(known):
        raise BadInput(f"{shown}: unknown option {min(unknown)}; expected some of {', '.join(known)}")
    for key in ("width", "height", "fps"):
        if key in options and not re.fullmatch("[1-9][0-9]*", options[key]):
            raise BadInput(f"{shown}: {key} is {options[key]!r}; expected a whole number above 0")
        if key in options:
            options[key] = int(options[key])
    if options.get("flip", "none") not in FLIPS:
        raise BadInput(f"{shown}: flip is {options['flip']!r}; expected {', '.join(FLIPS)}")
    return options
